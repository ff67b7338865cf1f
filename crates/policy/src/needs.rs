//! Which circumstances the policies of a set look at, of those that cost something. Building an address or
//! a point in time for Cedar takes as long as evaluating ten policies, so it is done only for those that
//! ask; and what no policy looks at need not be the same for a decision to be the same. It evaluates nothing.

use crate::platform::{PLATFORMS, Wanted};
use cedar_policy::PolicySet;
use serde_json::{Map, Value};

/// What must be in the context, or be the same for the same decision, beside the cheap values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) bytes: bool,
    pub(crate) peer: bool,
    pub(crate) platform: Wanted,
    pub(crate) time: bool,
}

impl Needs {
    pub(crate) const ALL: Self =
        Self { bytes: true, peer: true, platform: Wanted::ALL, time: true };
    const NONE: Self = Self { bytes: false, peer: false, platform: Wanted::NONE, time: false };

    /// What the policies mention. When in doubt, everything: a value that is not there would be an
    /// evaluation error.
    pub(crate) fn of(policies: &PolicySet) -> Self {
        let mut needs = Self::NONE;
        for policy in policies.policies() {
            match policy.to_json() {
                Ok(policy) => needs.look(&policy),
                Err(_) => return Self::ALL,
            }
        }
        needs
    }

    /// Walks the JSON form of a policy, where `context.time` and `context["time"]` are
    /// `{".": {"left": {"Var": "context"}, "attr": "time"}}`, and `has` looks alike.
    fn look(&mut self, node: &Value) {
        match node {
            Value::Object(fields) => {
                if is_context(node) {
                    // The context as a whole, in some other operation.
                    *self = Self::ALL;
                } else if fields.get("left").is_some_and(is_context)
                    && let Some(Value::String(attribute)) = fields.get("attr")
                {
                    self.bytes |= attribute == "request_bytes";
                    self.peer |= attribute == "peer";
                    self.time |= attribute == "time";
                } else {
                    self.look_at_platform(fields);
                    fields.values().for_each(|value| self.look(value));
                }
            }
            Value::Array(values) => {
                values.iter().filter_map(accessed).for_each(|name| self.platform.whole(name));
                values.iter().for_each(|value| self.look(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Needs {
    /// The same for platforms: whoever reads `principal.github.ref` writes both names, one as the `attr` of an
    /// access to the other. A record that is used in any other way is needed whole.
    fn look_at_platform(&mut self, fields: &Map<String, Value>) {
        if let Some(Value::String(attribute)) = fields.get("attr") {
            self.platform.platform(attribute);
            self.platform.attribute(attribute);
        }
        let is_step = fields.contains_key("attr");
        for (name, value) in fields {
            let inner = if is_step && name == "left" { None } else { accessed(value) };
            if let Some(platform) = inner {
                self.platform.whole(platform);
            }
        }
    }
}

/// The platform whose record an expression is, if it is one.
fn accessed(node: &Value) -> Option<&'static str> {
    let attribute = node.get(".")?.get("attr")?.as_str()?;
    PLATFORMS.iter().map(|platform| platform.name).find(|name| *name == attribute)
}

fn is_context(node: &Value) -> bool {
    node.get("Var").is_some_and(|variable| variable == "context")
}

#[cfg(test)]
mod tests {
    use super::Needs;
    use crate::platform::Wanted;

    #[test]
    fn only_what_is_mentioned_is_needed() {
        let (none, all) = (Needs::NONE, Needs::ALL);
        let bytes = Needs { bytes: true, ..none };
        let platform = |mark: &dyn Fn(&mut Wanted)| {
            let mut platform = Wanted::NONE;
            mark(&mut platform);
            Needs { platform, ..none }
        };
        let github = platform(&|wanted| wanted.platform("github"));
        let reference = platform(&|wanted| {
            wanted.platform("github");
            wanted.attribute("ref");
        });
        let whole = platform(&|wanted| wanted.whole("github"));
        let peer = Needs { peer: true, ..none };
        let time = Needs { time: true, ..none };
        for (condition, expected) in [
            ("true", none),
            ("context.session && context has protocol && context.method == \"time\"", none),
            ("principal.time || resource.peer like \"context.time\"", none),
            ("principal.request_bytes == resource.request_bytes", none),
            ("context.request_bytes < 5", bytes),
            ("context has request_bytes", bytes),
            ("[{a: [context[\"request_bytes\"]]}].contains(1)", bytes),
            ("context has peer && context.peer.isLoopback()", peer),
            ("context has peer", peer),
            ("context.time < datetime(\"2027-01-01\")", time),
            ("context[\"time\"] < datetime(\"2027-01-01\")", time),
            ("context[\"ti\\u{6d}e\"] < datetime(\"2027-01-01\")", time),
            ("(if context.session then context.time.toTime() else duration(\"1h\")) == 1", time),
            ("[{a: [context.time]}].contains(1)", time),
            ("context has peer.x", all),
            ("(if true then context else context).time == 1", all),
            ("context == {}", all),
            ("{time: context} == 1", all),
            ("context has session && context.session.time", none),
            ("principal has github", github),
            ("principal has github && principal.github.ref == \"x\"", reference),
            ("principal has github.ref && principal[\"github\"][\"ref\"] like \"x*\"", reference),
            ("(if true then principal else principal).github.ref == \"x\"", reference),
            ("{a: principal}.a.github.ref == \"x\"", reference),
            ("principal.github == {ref: \"x\"}", whole),
            ("[principal.github].contains({})", whole),
            ("{a: principal.github}.a.ref == \"x\"", whole),
            ("(if true then principal.github else principal.github).ref == \"x\"", whole),
        ] {
            let text = format!("permit (principal, action, resource) unless {{ {condition} }};");
            let unneeded = "forbid (principal, action, resource) when { context.session };";
            let policies = format!("{unneeded}{text}").parse().unwrap();
            assert_eq!(Needs::of(&policies), expected, "{condition}");
        }
    }
}
