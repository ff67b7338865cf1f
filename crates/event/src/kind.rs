//! What an event reports. The words are those of `docs/event-format.md`; none is ever renamed.

use serde::{Deserialize, Serialize};

/// What an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A call was answered, or its end is otherwise known.
    #[serde(rename = "call.answered")]
    CallAnswered,
    /// A call was identified and permitted, and is about to be passed on.
    #[serde(rename = "call.asked")]
    CallAsked,
    /// Found at start: a call was passed on in an earlier run and its end is unknown.
    #[serde(rename = "call.in-doubt")]
    CallInDoubt,
    /// A call was refused by the gateway; it went nowhere.
    #[serde(rename = "call.refused")]
    CallRefused,
    /// Another configuration is in force, without a new run.
    #[serde(rename = "config.changed")]
    ConfigChanged,
    /// A changed configuration was offered and refused; the one in force stayed.
    #[serde(rename = "config.rejected")]
    ConfigRejected,
    /// A credential for an upstream server was issued to the gateway, and is about to be used.
    #[serde(rename = "credential.issued")]
    CredentialIssued,
    /// A credential for an upstream server could not be had.
    #[serde(rename = "credential.refused")]
    CredentialRefused,
    /// A gateway began to serve: the first event of a run.
    #[serde(rename = "gateway.started")]
    GatewayStarted,
    /// A gateway ended in an orderly way: the last event of a run.
    #[serde(rename = "gateway.stopped")]
    GatewayStopped,
    /// Entries that had to be kept need no longer be.
    #[serde(rename = "hold.lifted")]
    HoldLifted,
    /// Entries must be kept until told otherwise, whatever their age.
    #[serde(rename = "hold.placed")]
    HoldPlaced,
    /// Definitions that a server declares were approved.
    #[serde(rename = "inventory.approved")]
    InventoryApproved,
    /// A server declares a tool, prompt or resource that it did not, or not in this form, or no more.
    #[serde(rename = "inventory.changed")]
    InventoryChanged,
    /// A recovery key, kept offline, was named.
    #[serde(rename = "key.recovery")]
    KeyRecovery,
    /// A key signs no more checkpoints of this log.
    #[serde(rename = "key.retired")]
    KeyRetired,
    /// A key must not be trusted any more beyond a known checkpoint.
    #[serde(rename = "key.revoked")]
    KeyRevoked,
    /// A further key signs checkpoints of this log.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// What is in the log up to a checkpoint was put where it cannot be changed.
    #[serde(rename = "log.anchored")]
    LogAnchored,
    /// This log goes on where another one ended.
    #[serde(rename = "log.continued")]
    LogContinued,
    /// Said at fixed intervals: the gateway is there, and has recorded so many events.
    #[serde(rename = "log.heartbeat")]
    LogHeartbeat,
    /// Entries below an index were removed, as the time for which they are kept is over.
    #[serde(rename = "log.pruned")]
    LogPruned,
    /// Somebody read the log through the gateway.
    #[serde(rename = "log.read")]
    LogRead,
    /// The log was opened after an unclean end; what was found is in `details`.
    #[serde(rename = "log.recovered")]
    LogRecovered,
    /// A timestamp authority has signed the time of a checkpoint.
    #[serde(rename = "log.timestamped")]
    LogTimestamped,
    /// Another policy set became active.
    #[serde(rename = "policy.changed")]
    PolicyChanged,
    /// A policy set was offered and refused; the active one stayed.
    #[serde(rename = "policy.rejected")]
    PolicyRejected,
    /// A session ended: the last event of its sequence.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// Somebody who vouches for others told of them; what followed is in `details`.
    #[serde(rename = "signal.received")]
    SignalReceived,
    /// What somebody told of others was refused.
    #[serde(rename = "signal.refused")]
    SignalRefused,
    /// A server told the state of a task by itself.
    #[serde(rename = "task.reported")]
    TaskReported,
}

impl Kind {
    /// Every kind, in the order of the words.
    pub const ALL: [Self; 31] = [
        Self::CallAnswered,
        Self::CallAsked,
        Self::CallInDoubt,
        Self::CallRefused,
        Self::ConfigChanged,
        Self::ConfigRejected,
        Self::CredentialIssued,
        Self::CredentialRefused,
        Self::GatewayStarted,
        Self::GatewayStopped,
        Self::HoldLifted,
        Self::HoldPlaced,
        Self::InventoryApproved,
        Self::InventoryChanged,
        Self::KeyRecovery,
        Self::KeyRetired,
        Self::KeyRevoked,
        Self::KeyRotated,
        Self::LogAnchored,
        Self::LogContinued,
        Self::LogHeartbeat,
        Self::LogPruned,
        Self::LogRead,
        Self::LogRecovered,
        Self::LogTimestamped,
        Self::PolicyChanged,
        Self::PolicyRejected,
        Self::SessionEnded,
        Self::SignalReceived,
        Self::SignalRefused,
        Self::TaskReported,
    ];

    /// The word used in events, searches and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallAnswered => "call.answered",
            Self::CallAsked => "call.asked",
            Self::CallInDoubt => "call.in-doubt",
            Self::CallRefused => "call.refused",
            Self::ConfigChanged => "config.changed",
            Self::ConfigRejected => "config.rejected",
            Self::CredentialIssued => "credential.issued",
            Self::CredentialRefused => "credential.refused",
            Self::GatewayStarted => "gateway.started",
            Self::GatewayStopped => "gateway.stopped",
            Self::HoldLifted => "hold.lifted",
            Self::HoldPlaced => "hold.placed",
            Self::InventoryApproved => "inventory.approved",
            Self::InventoryChanged => "inventory.changed",
            Self::KeyRecovery => "key.recovery",
            Self::KeyRetired => "key.retired",
            Self::KeyRevoked => "key.revoked",
            Self::KeyRotated => "key.rotated",
            Self::LogAnchored => "log.anchored",
            Self::LogContinued => "log.continued",
            Self::LogHeartbeat => "log.heartbeat",
            Self::LogPruned => "log.pruned",
            Self::LogRead => "log.read",
            Self::LogRecovered => "log.recovered",
            Self::LogTimestamped => "log.timestamped",
            Self::PolicyChanged => "policy.changed",
            Self::PolicyRejected => "policy.rejected",
            Self::SessionEnded => "session.ended",
            Self::SignalReceived => "signal.received",
            Self::SignalRefused => "signal.refused",
            Self::TaskReported => "task.reported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn words_are_those_of_the_encoding_and_stand_in_order() {
        let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert!(words.is_sorted());
        for kind in Kind::ALL {
            let encoded = serde_json::to_string(&kind).unwrap();
            assert_eq!(encoded, format!("\"{}\"", kind.as_str()));
            assert_eq!(serde_json::from_str::<Kind>(&encoded).unwrap(), kind);
        }
    }
}
