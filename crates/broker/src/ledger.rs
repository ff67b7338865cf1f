//! Who borrows a credential, and where its issue is put on record. It knows no log.

use event::{Actor, CallId, Kind};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

/// For what and whom a credential is.
#[derive(Debug, Clone)]
pub struct Borrower {
    /// The call that it is for.
    pub call: CallId,
    /// The principal whose call it is.
    pub actor: Actor,
    /// Digest of the policies that permit it.
    pub policy_set: String,
}

/// What is to be put on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// [`Kind::CredentialIssued`] or [`Kind::CredentialRefused`].
    pub kind: Kind,
    /// For whom, where it is for one principal.
    pub actor: Option<Actor>,
    /// What is known; no value of a credential.
    pub details: BTreeMap<String, String>,
}

/// A record under way: nothing, or why it could not be made.
pub type Recording<'l> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'l>>;

/// Where the issue of credentials is put on record.
///
/// A credential is used only after `record` has returned `Ok`: by then the entry is durable.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Puts an entry on record.
    fn record(&self, entry: Entry) -> Recording<'_>;
}
