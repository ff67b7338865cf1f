//! Which circumstances the policies of a set look at, of those that cost something. Building an address or
//! a point in time for Cedar takes as long as evaluating ten policies, so it is done only for those that
//! ask; and what no policy looks at need not be the same for a decision to be the same. It evaluates nothing.

use cedar_policy::PolicySet;
use serde_json::Value;

/// What must be in the context, or be the same for the same decision, beside the cheap values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) bytes: bool,
    pub(crate) peer: bool,
    pub(crate) time: bool,
}

impl Needs {
    pub(crate) const ALL: Self = Self { bytes: true, peer: true, time: true };
    const NONE: Self = Self { bytes: false, peer: false, time: false };

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
                    fields.values().for_each(|value| self.look(value));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.look(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn is_context(node: &Value) -> bool {
    node.get("Var").is_some_and(|variable| variable == "context")
}

#[cfg(test)]
mod tests {
    use super::Needs;

    #[test]
    fn only_what_is_mentioned_is_needed() {
        let (none, all) = (Needs::NONE, Needs::ALL);
        let bytes = Needs { bytes: true, ..none };
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
        ] {
            let text = format!("permit (principal, action, resource) unless {{ {condition} }};");
            let unneeded = "forbid (principal, action, resource) when { context.session };";
            let policies = format!("{unneeded}{text}").parse().unwrap();
            assert_eq!(Needs::of(&policies), expected, "{condition}");
        }
    }
}
