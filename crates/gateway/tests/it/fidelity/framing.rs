//! What a transport cannot carry, and what is done about it: the only changes that messages may suffer on
//! their way. Written as plainly as can be, and knowing nothing of how the gateway does it.

/// What some readers take for the end of a line, and JSON has within strings only.
const SEPARATORS: [(char, &str); 3] =
    [('\u{85}', "\\u0085"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];

/// A message as the sender of lines writes it, who cannot write a line feed.
pub(super) fn written(message: &str) -> String {
    format!("{}\n", message.replace('\n', " "))
}

/// A message as a line of the gateway: white space in place of line breaks between tokens, and escapes
/// in place of separators.
pub(super) fn line(message: &str) -> String {
    let end = if message.ends_with("\r\n") { "\r\n" } else { "\n" };
    let text = message.strip_suffix(end).unwrap_or(message).replace(['\r', '\n'], " ");
    SEPARATORS.iter().fold(text, |text, (from, to)| text.replace(*from, to)) + end
}

/// A message as the data of an event: each of its lines is one, whatever their ends were.
pub(super) fn data(message: &str) -> String {
    message.replace("\r\n", "\n").replace('\r', "\n")
}

/// A message that the gateway puts into an event: empty lines are left out, and separators escaped, for
/// which it is a line before.
pub(super) fn in_event(message: &str) -> String {
    let message = if has_separator(message) { line(message) } else { message.to_owned() };
    let lines = message.split(['\r', '\n']).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// The data of an event that the gateway passes on: as it came, unless there is a separator in it.
pub(super) fn event_passed_on(data: &str) -> String {
    if has_separator(data) { in_event(data) } else { data.to_owned() }
}

/// A message without the white space around it.
pub(super) fn bare(message: &str) -> String {
    message.trim_matches([' ', '\t', '\r', '\n']).to_owned()
}

fn has_separator(message: &str) -> bool {
    SEPARATORS.iter().any(|(separator, _)| message.contains(*separator))
}

/// The event that carries this data.
pub(super) fn event_of(data: &str) -> String {
    let lines: String = data.split('\n').map(|line| format!("data: {line}\n")).collect();
    format!("event: message\n{lines}\n")
}

/// The data of an event.
pub(super) fn data_of(event: &str) -> String {
    let lines = event.split('\n').filter_map(|line| line.strip_prefix("data: "));
    lines.collect::<Vec<_>>().join("\n")
}
