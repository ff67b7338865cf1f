//! What must be shown before anything goes to a server: that the call was permitted, and that this is
//! durably on record. Both values can only be made by `policy` and `audit`.

use audit::Receipt;
use broker::Lent;
use bytes::Bytes;
use policy::Permit;

/// Bytes that may go to a server: the proofs of their call were shown.
#[derive(Debug)]
pub(crate) struct Cleared(Bytes);

impl Cleared {
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The two proofs of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof<'a> {
    permit: &'a Permit,
    receipt: &'a Receipt,
    /// What the gateway shows to the server, where it has to show something.
    lent: Option<&'a Lent>,
}

/// The proofs belong to different calls.
#[derive(Debug, thiserror::Error)]
#[error("permit and receipt are not of the same call")]
pub(crate) struct Unproven;

impl<'a> Proof<'a> {
    pub(crate) fn new(permit: &'a Permit, receipt: &'a Receipt) -> Self {
        Self { permit, receipt, lent: None }
    }

    /// The same, with the credential that the call goes with.
    pub(crate) fn with(self, lent: Option<&'a Lent>) -> Self {
        Self { lent, ..self }
    }

    /// The credential that the call goes with.
    pub(crate) fn lent(self) -> Option<&'a Lent> {
        self.lent
    }

    /// Marks bytes as sent on behalf of this call.
    pub(crate) fn clear(self, bytes: Bytes) -> Result<Cleared, Unproven> {
        self.check().map(|()| Cleared(bytes))
    }

    /// Whether both speak of the same call.
    pub(crate) fn check(self) -> Result<(), Unproven> {
        if self.receipt.call() == Some(self.permit.call()) { Ok(()) } else { Err(Unproven) }
    }
}
