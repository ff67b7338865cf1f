//! Puts prefixes before names in what servers send, and takes them off what clients send. Nothing but
//! the named values changes, byte for byte. Refuses to know which server is meant.

use super::names::{Form, PREFIX_BYTES_MAX};
use bytes::Bytes;
use mcp::edit::{Edit, Step, quoted};
use mcp::{Frame, Message, Method};
use std::borrow::Cow;

type Path = &'static [Step<'static>];

/// Where results name resources and tasks. Contents stand in the results of tools, of prompts, of
/// resources, and within the state of a finished task (2026-07-28, tasks extension).
const IN_RESULTS: &[(Form, Path)] = &[
    (Form::Uri, &[RESULT, Step::Key("contents"), Step::Each, URI]),
    (Form::Uri, &[RESULT, CONTENT, Step::Each, URI]),
    (Form::Uri, &[RESULT, CONTENT, Step::Each, RESOURCE, URI]),
    (Form::Uri, &[RESULT, MESSAGES, Step::Each, CONTENT, URI]),
    (Form::Uri, &[RESULT, MESSAGES, Step::Each, CONTENT, RESOURCE, URI]),
    (Form::Uri, &[RESULT, RESULT, CONTENT, Step::Each, URI]),
    (Form::Uri, &[RESULT, RESULT, CONTENT, Step::Each, RESOURCE, URI]),
    (Form::Uri, &[RESULT, META, UI, UI_RESOURCE]),
    // Skills, and directories of resources (extension `io.modelcontextprotocol/skills`).
    (Form::Uri, &[RESULT, SKILL, URI]),
    (Form::Uri, &[RESULT, SKILL, RESOURCES, Step::Each, URI]),
    (Form::Uri, &[RESULT, RESOURCES, Step::Each, URI]),
    (Form::Id, &[RESULT, TASK_ID]),
    (Form::Id, &[RESULT, Step::Key("task"), TASK_ID]),
    (Form::Id, &[RESULT, META, RELATED, TASK_ID]),
    (Form::Id, &[RESULT, RESULT, META, RELATED, TASK_ID]),
];

/// Where notifications name them.
const IN_NOTICES: &[(Form, Path)] = &[
    (Form::Uri, &[PARAMS, URI]),
    (Form::Id, &[PARAMS, TASK_ID]),
    (Form::Id, &[PARAMS, META, RELATED, TASK_ID]),
    (Form::Uri, &[PARAMS, RESULT, CONTENT, Step::Each, URI]),
    (Form::Uri, &[PARAMS, RESULT, CONTENT, Step::Each, RESOURCE, URI]),
    (
        Form::Uri,
        &[PARAMS, Step::Key("notifications"), Step::Key("resourceSubscriptions"), Step::Each],
    ),
    (Form::Id, &[PARAMS, Step::Key("notifications"), Step::Key("taskIds"), Step::Each]),
];

/// Where items of lists name them, beside what they are called by. The files of a skill are resources of
/// its server, and so is the interface of a tool (extension `io.modelcontextprotocol/ui`, in its two spellings).
const IN_ITEMS: &[(Form, Path)] = &[
    (Form::Uri, &[META, UI, UI_RESOURCE]),
    (Form::Uri, &[META, Step::Key("ui/resourceUri")]),
    (Form::Uri, &[RESOURCES, Step::Each, URI]),
];

/// The id of a request, and the token by which its progress is told: both are the server's own.
const OF_QUESTIONS: &[Path] = &[&[Step::Key("id")], &[PARAMS, META, Step::Key("progressToken")]];

/// A message of a member as the client gets it.
pub(crate) fn to_client(message: &Bytes, prefix: &str) -> Bytes {
    let Ok(Frame::Single(read)) = mcp::parse(message, &mcp::Limits::for_replies()) else {
        return message.clone();
    };
    let changed = match &read {
        Message::Response(_) => prefixed(message, IN_RESULTS, prefix),
        Message::Notification(notice) if notice.method == Method::NotificationsCancelled => {
            marked(message, &[&[PARAMS, Step::Key("requestId")]], prefix)
        }
        Message::Notification(_) => prefixed(message, IN_NOTICES, prefix),
        Message::Request(_) => marked(message, OF_QUESTIONS, prefix).and_then(|marked| {
            prefixed(&marked, &[(Form::Id, &[PARAMS, META, RELATED, TASK_ID])], prefix)
        }),
    };
    changed.unwrap_or_else(|| message.clone())
}

/// One item of a list, called by its prefixed name.
pub(crate) fn item(raw: &str, form: Form, key: &str, prefix: &str) -> Option<Bytes> {
    let named = change(raw.as_bytes(), &[Step::Key(key)], |value| joined(value, form, prefix))?;
    prefixed(&named, IN_ITEMS, prefix)
}

/// A message of the client with one text replaced, and its tasks called as the member calls them.
pub(crate) fn to_member(message: &Bytes, path: &[Step<'_>], own: &str) -> Option<Bytes> {
    let text = quoted(own);
    let named = change(message, path, |_| Some(text.clone()))?;
    change(&named, &[PARAMS, META, RELATED, TASK_ID], |value| parted(value, Form::Id))
}

/// The client's answer to a request of a member, with that request's own id (JSON).
pub(crate) fn answer_to_member(message: &Bytes, own: &str) -> Option<Bytes> {
    let named = change(message, &[Step::Key("id")], |_| Some(own.to_owned()))?;
    change(&named, &[RESULT, META, RELATED, TASK_ID], |value| parted(value, Form::Id))
}

/// `message` with whatever stands at `path` replaced by JSON text.
pub(crate) fn change(
    message: &[u8],
    path: &[Step<'_>],
    with: impl Fn(&str) -> Option<String>,
) -> Option<Bytes> {
    let mut edit = Edit::new(message).ok()?;
    edit.rewrite(path, |value| with(value).map(Cow::Owned)).ok()?;
    edit.finish().ok().map(Bytes::from)
}

/// The id that the client knows a member's request by: `PREFIX:` and the id as the member wrote it, so
/// that it can be told from every other and turned back without keeping anything.
pub(crate) fn own_id(seen: &str) -> Option<(&str, &str)> {
    let (prefix, own) = Form::Id.split(seen)?;
    let literal: serde_json::Value = serde_json::from_str(own).ok()?;
    (literal.is_string() || literal.is_number()).then_some((prefix, own))
}

/// The bounds of what a client says of requests of members: their ids are longer as it knows them, by a
/// prefix, and by the escapes with which the member wrote them.
pub(crate) fn for_answers(limits: &mcp::Limits) -> mcp::Limits {
    let id_bytes_max = PREFIX_BYTES_MAX + ":\"\"".len() + "\\u0000".len() * limits.id_bytes_max;
    mcp::Limits { id_bytes_max, ..*limits }
}

fn prefixed(message: &[u8], places: &[(Form, Path)], prefix: &str) -> Option<Bytes> {
    let mut edit = Edit::new(message).ok()?;
    for (form, path) in places {
        edit.rewrite(path, |value| joined(value, *form, prefix).map(Cow::Owned)).ok()?;
    }
    edit.finish().ok().map(Bytes::from)
}

fn marked(message: &[u8], places: &[Path], prefix: &str) -> Option<Bytes> {
    let mut edit = Edit::new(message).ok()?;
    for path in places {
        edit.rewrite(path, |value| Some(quoted(&Form::Id.join(prefix, value)).into())).ok()?;
    }
    edit.finish().ok().map(Bytes::from)
}

fn joined(value: &str, form: Form, prefix: &str) -> Option<String> {
    let own: String = serde_json::from_str(value).ok()?;
    Some(quoted(&form.join(prefix, &own)))
}

fn parted(value: &str, form: Form) -> Option<String> {
    let seen: String = serde_json::from_str(value).ok()?;
    form.split(&seen).map(|(_, own)| quoted(own))
}

pub(crate) const PARAMS: Step<'static> = Step::Key("params");
pub(crate) const RESULT: Step<'static> = Step::Key("result");
pub(crate) const META: Step<'static> = Step::Key("_meta");
pub(crate) const TASK_ID: Step<'static> = Step::Key("taskId");
pub(crate) const URI: Step<'static> = Step::Key("uri");
const CONTENT: Step<'static> = Step::Key("content");
const MESSAGES: Step<'static> = Step::Key("messages");
const RESOURCE: Step<'static> = Step::Key("resource");
const RESOURCES: Step<'static> = Step::Key("resources");
const SKILL: Step<'static> = Step::Key("skill");
const RELATED: Step<'static> = Step::Key("io.modelcontextprotocol/related-task");
const UI: Step<'static> = Step::Key("ui");
const UI_RESOURCE: Step<'static> = Step::Key("resourceUri");

#[cfg(test)]
mod tests {
    use super::{answer_to_member, for_answers, item, own_id, to_client, to_member};
    use crate::federation::names::Form;
    use bytes::Bytes;
    use mcp::edit::{Step, quoted};
    use mcp::{Frame, Message};
    use proptest::prelude::*;

    fn seen(message: &'static str) -> String {
        let out = to_client(&Bytes::from_static(message.as_bytes()), "crm");
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn resources_and_tasks_in_answers_carry_the_prefix() {
        for (own, wanted) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{ "contents":[{"uri":"file:///a","n":1.00}]}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{ "contents":[{"uri":"crm+file:///a","n":1.00}]}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"x:1"},{"resource":{"uri":"x:2"}},{"text":"uri"}]}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"resource_link","uri":"crm+x:1"},{"resource":{"uri":"crm+x:2"}},{"text":"uri"}]}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"messages":[{"content":{"resource":{"uri":"x:2"}}}]}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"messages":[{"content":{"resource":{"uri":"crm+x:2"}}}]}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"skill":{"uri":"skill://a/SKILL.md","resources":[{"uri":"skill://a/x"}]}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"skill":{"uri":"crm+skill://a/SKILL.md","resources":[{"uri":"crm+skill://a/x"}]}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"7"}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"crm:7"}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"crm+x:1"}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"uri":"x:1","taskId":"1"}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"uri":"x:1","taskId":"1"}}}"#,
            ),
        ] {
            assert_eq!(seen(own), wanted);
        }
    }

    #[test]
    fn requests_of_servers_can_be_answered() {
        for id in ["7", r#""a:b""#] {
            let own = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list","params":{{"taskId":"mine"}}}}"#
            );
            let asked = to_client(&Bytes::from(own), "crm");
            let asked: serde_json::Value = serde_json::from_slice(&asked).unwrap();
            assert_eq!(asked["params"]["taskId"], "mine");
            let (prefix, own) = own_id(asked["id"].as_str().unwrap()).unwrap();
            assert_eq!((prefix, own), ("crm", id));
            let answer = Bytes::from(format!(r#"{{"id":{},"result":{{}}}}"#, asked["id"]));
            let answer = answer_to_member(&answer, own).unwrap();
            assert_eq!(answer, format!(r#"{{"id":{id},"result":{{}}}}"#));
        }
        for id in ["7", "crm:", "crm:[]", "crm:null", ":7", "CRM:7"] {
            assert_eq!(own_id(id), None, "{id}");
        }
    }

    #[test]
    fn one_value_of_a_request_changes() {
        let message = Bytes::from_static(
            br#"{"params":{"name":"crm__\u0065cho", "arguments":{"name":"crm__x","n":1e2}}}"#,
        );
        let out = to_member(&message, &[Step::Key("params"), Step::Key("name")], "echo").unwrap();
        assert_eq!(
            out,
            br#"{"params":{"name":"echo", "arguments":{"name":"crm__x","n":1e2}}}"#.as_slice()
        );
    }

    #[test]
    fn an_item_keeps_everything_but_its_name() {
        let raw = r#"{"x":1.0,"name":"a","_meta":{"ui":{"resourceUri":"ui://a"}},"inputSchema":{"name":"a"}}"#;
        let wanted = r#"{"x":1.0,"name":"crm__a","_meta":{"ui":{"resourceUri":"crm+ui://a"}},"inputSchema":{"name":"a"}}"#;
        assert_eq!(item(raw, Form::Name, "name", "crm").unwrap(), wanted);
        let raw = r#"{"uri":"skill://a/SKILL.md","frontmatter":{"name":"a"},"resources":[{"uri":"skill://a/SKILL.md","size":1}]}"#;
        let wanted = r#"{"uri":"crm+skill://a/SKILL.md","frontmatter":{"name":"a"},"resources":[{"uri":"crm+skill://a/SKILL.md","size":1}]}"#;
        assert_eq!(item(raw, Form::Uri, "uri", "crm").unwrap(), wanted);
        let raw = r#"{"uri":"skill://b/SKILL.md","resources":"dynamic"}"#;
        let wanted = r#"{"uri":"crm+skill://b/SKILL.md","resources":"dynamic"}"#;
        assert_eq!(item(raw, Form::Uri, "uri", "crm").unwrap(), wanted);
    }

    /// An id as a server may write it: any integer, any text, with or without escapes.
    fn literal() -> impl Strategy<Value = String> {
        let texts = prop_oneof![
            any::<String>(),
            r#"(crm|erp|crm-1):("?[a-z0-9]{0,3}"?|-?[0-9]{1,30})"#,
            r#"["\\:+_,{}\[\]\u{2028}\u{85}\u{1f600}\u{0}]{0,8}"#,
        ];
        let spelled = (texts, any::<bool>()).prop_map(|(text, escaped)| {
            if escaped { ascii(&text) } else { serde_json::to_string(&text).unwrap() }
        });
        prop_oneof![any::<i64>().prop_map(|id| id.to_string()), "-?[1-9][0-9]{18,254}", spelled]
    }

    /// The text in JSON with nothing but escapes.
    fn ascii(text: &str) -> String {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    }

    fn text_at<'v>(message: &'v serde_json::Value, pointer: &str) -> &'v str {
        message.pointer(pointer).unwrap().as_str().unwrap()
    }

    fn told(message: &str, prefix: &str) -> serde_json::Value {
        // Nothing that would pass without being understood.
        mcp::parse(message.as_bytes(), &mcp::Limits::for_replies()).unwrap();
        serde_json::from_slice(&to_client(&Bytes::copy_from_slice(message.as_bytes()), prefix))
            .unwrap()
    }

    proptest! {
        /// What a server is known by comes back to that server as it wrote it, however the client spells it.
        #[test]
        fn ids_of_servers_come_back_as_they_were(
            id in literal(),
            token in literal(),
            prefix in prop_oneof!["[a-z][a-z0-9-]{0,31}", Just("crm".to_owned())],
        ) {
            let seen = told(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list","params":{{"_meta":{{"progressToken":{token}}}}}}}"#
            ), &prefix);
            let cancelled = told(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            ), &prefix);
            prop_assert_eq!(&cancelled["params"]["requestId"], &seen["id"]);
            let (seen_id, seen_token) =
                (text_at(&seen, "/id"), text_at(&seen, "/params/_meta/progressToken"));
            for spelled in [quoted(seen_id), ascii(seen_id)] {
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{spelled},"result":{{"n":1.0}}}}"#);
                let read = mcp::parse(answer.as_bytes(), &for_answers(&mcp::Limits::default())).unwrap();
                let Frame::Single(Message::Response(read)) = read else { panic!("{answer}") };
                let read = read.id.unwrap();
                let (of, own) = own_id(read.as_text().unwrap()).unwrap();
                prop_assert_eq!((of, own), (prefix.as_str(), id.as_str()));
                let answer = answer_to_member(&Bytes::from(answer.clone()), own).unwrap();
                prop_assert_eq!(answer, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":1.0}}}}"#));
            }
            for spelled in [quoted(seen_token), ascii(seen_token)] {
                let progress = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{spelled},"progress":1}}}}"#
                );
                let read = mcp::parse(progress.as_bytes(), &for_answers(&mcp::Limits::default())).unwrap();
                let Frame::Single(Message::Notification(read)) = read else { panic!("{progress}") };
                let read = read.params.progress_token.unwrap();
                prop_assert_eq!(
                    own_id(read.as_text().unwrap()),
                    Some((prefix.as_str(), token.as_str()))
                );
            }
        }

        /// Two servers, or two ids, are never taken for one another.
        #[test]
        fn ids_of_servers_stay_apart(one in literal(), other in literal()) {
            let seen = |id: &str, prefix| {
                let asked = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
                text_at(&told(&asked, prefix), "/id").to_owned()
            };
            prop_assert_ne!(seen(&one, "crm"), seen(&one, "erp"));
            prop_assert_ne!(seen(&one, "crm"), seen(&other, "erp"));
            prop_assert_eq!(seen(&one, "crm") == seen(&other, "crm"), one == other);
        }
    }
}
