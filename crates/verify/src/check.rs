//! Every check that the verifier makes, by name.
//!
//! Knows nothing of how a check is made. Tests leave out one check at a time
//! and demand that some altered log then passes it: no check is there for
//! nothing, and none can be lost unseen.

use crate::failure::{Failure, Verdict};
use std::fmt;

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal $verdict:ident;)+) => {
        /// One check. Its word, as in `segment-chain`, is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Check {
            /// Every check.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word in reports.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What it usually means when the check fails.
            #[must_use]
            pub fn verdict(self) -> Verdict {
                match self {
                    $(Self::$name => Verdict::$verdict,)+
                }
            }
        }
    };
}

checks! {
    /// `origin.vkey` is one verifier key line and nothing else.
    KeyFile "key-file" Altered;
    /// The lock file is empty.
    LockEmpty "lock-empty" Altered;
    /// Every file of the directory is one of a log.
    UnknownFile "unknown-file" Altered;
    /// A key known from elsewhere is one of the log's.
    PinnedKey "pinned-key" WrongKey;
    /// A statement about keys is in its one form, and of this log.
    StatementForm "statement-form" Altered;
    /// Statements are numbered without gaps.
    StatementGap "statement-gap" Missing;
    /// A statement fits those before it.
    StatementFits "statement-fits" Altered;
    /// A statement is signed by who may make it.
    StatementSigner "statement-signer" WrongKey;
    /// A new key signed the statement that brought it in.
    StatementNewKey "statement-new-key" WrongKey;
    /// The log had the root at which a key was revoked.
    RevokedRoot "revoked-root" Forked;
    /// The log holds the entries up to which a revoked key is trusted.
    RevokedSize "revoked-size" Truncated;
    /// The checkpoint is of this log.
    CheckpointOrigin "checkpoint-origin" WrongKey;
    /// No signature line in the log's name is wrong.
    CheckpointSignature "checkpoint-signature" Altered;
    /// The checkpoint is signed by a trusted key that is valid at its size.
    CheckpointKey "checkpoint-key" WrongKey;
    /// The entries have the root of the checkpoint.
    CheckpointRoot "checkpoint-root" Altered;
    /// The log holds the entries that the checkpoint covers.
    CheckpointSize "checkpoint-size" Truncated;
    /// The given checkpoint is signed by a key of the log.
    GivenSigner "given-signer" WrongKey;
    /// The log still is the one that the given checkpoint was signed for.
    GivenRoot "given-root" Forked;
    /// The log still holds the entries that the given checkpoint covers.
    GivenSize "given-size" Truncated;
    /// The other copy is signed by a key of the log.
    ComparedSigner "compared-signer" WrongKey;
    /// The log and the other copy do not contradict each other.
    ComparedRoot "compared-root" Forked;
    /// The tiles of a copy have the root of its checkpoint.
    ComparedTiles "compared-tiles" Altered;
    /// No cosignature of a witness of the policy is wrong.
    Cosignature "cosignature" Altered;
    /// Enough witnesses cosigned.
    Quorum "quorum" Unwitnessed;
    /// What the log says of pruning is in its one form, and of this log.
    PrunedForm "pruned-form" Altered;
    /// What the log says of pruning is signed by a key of the log.
    PrunedSigner "pruned-signer" WrongKey;
    /// No more is pruned than was published.
    PrunedSize "pruned-size" Altered;
    /// A segment begins as segments do.
    SegmentForm "segment-form" Altered;
    /// A segment is in the format of this version.
    SegmentVersion "segment-version" Altered;
    /// The checksum of a segment's header.
    SegmentChecksum "segment-checksum" Altered;
    /// The number of a segment.
    SegmentOrdinal "segment-ordinal" Altered;
    /// The first entry of a segment.
    SegmentFirst "segment-first" Altered;
    /// A segment names the last trailer before it.
    SegmentChain "segment-chain" Altered;
    /// A segment is of this log.
    SegmentLog "segment-log" Altered;
    /// A segment has the length it states.
    SegmentLength "segment-length" Altered;
    /// No segment is missing.
    SegmentGap "segment-gap" Missing;
    /// A later segment has a batch.
    SegmentEmpty "segment-empty" Altered;
    /// After the last batch a segment is zeros.
    SegmentZeros "segment-zeros" Altered;
    /// A segment that was not begun is zeros.
    SpareZeros "spare-zeros" Altered;
    /// A frame is whole, and of a possible length and kind.
    FrameForm "frame-form" Altered;
    /// The checksum of a frame.
    FrameChecksum "frame-checksum" Altered;
    /// A trailer is well formed.
    TrailerForm "trailer-form" Altered;
    /// A batch has entries.
    BatchEmpty "batch-empty" Altered;
    /// A batch has the number of its first entry, and the size after it.
    BatchNumbers "batch-numbers" Altered;
    /// A batch has as many entries as it says.
    BatchCount "batch-count" Altered;
    /// A batch names the trailer before it.
    BatchChain "batch-chain" Altered;
    /// The entries have the root in the trailer.
    BatchRoot "batch-root" Altered;
    /// A batch is signed by the epoch key.
    BatchSignature "batch-signature" Altered;
    /// Each segment names the epoch key before its first batch.
    EpochMissing "epoch-missing" Altered;
    /// A certificate of an epoch key is in its one form, and of this log.
    EpochForm "epoch-form" Altered;
    /// A certificate stands between batches.
    EpochPlace "epoch-place" Altered;
    /// A certificate has the number of entries before it.
    EpochSize "epoch-size" Altered;
    /// A certificate is signed by a key of the log.
    EpochSigner "epoch-signer" WrongKey;
    /// What no checkpoint covers yet is certified by a trusted key.
    EpochTrust "epoch-trust" WrongKey;
    /// The last write was finished.
    UnfinishedTail "unfinished-tail" UnfinishedTail;
    /// A bundle holds its entries and nothing else.
    BundleForm "bundle-form" Altered;
    /// A tile or bundle is what the entries make it.
    TileContent "tile-content" Altered;
    /// No tile or bundle is missing.
    TileMissing "tile-missing" Missing;
    /// No tile is of entries that the log does not hold.
    TileExcess "tile-excess" Truncated;
    /// The hashes of the tiles lead to the root, and a sampled entry to them.
    SampleProof "sample-proof" Altered;
    /// An entry is an event in canonical form.
    EventForm "event-form" Incomplete;
    /// An event has its place in a sequence.
    EventSequence "event-sequence" Incomplete;
    /// The events of a sequence are numbered without gaps.
    SequenceNumber "sequence-number" Incomplete;
    /// An event names the one before it in its sequence.
    SequenceLink "sequence-link" Incomplete;
    /// A run begins with `gateway.started`, once.
    RunBegin "run-begin" Incomplete;
    /// Nothing of a run follows its end.
    RunEnd "run-end" Incomplete;
    /// After a run that broke off, the next says so first.
    RunRecovered "run-recovered" Incomplete;
    /// A call is asked once, and answered once where it was asked.
    Pairing "pairing" Incomplete;
    /// The number of events on record.
    Recorded "recorded" Incomplete;
    /// The numbers of open calls and sessions.
    OpenCounts "open-counts" Incomplete;
    /// The statements about keys that events tell of are there.
    KeyEvents "key-events" Missing;
    /// A timestamp has the checkpoint that it is over.
    StampPair "stamp-pair" Missing;
    /// The timestamps that events tell of are there.
    StampEvents "stamp-events" Missing;
    /// A stamped checkpoint is signed by a key of the log.
    StampSigner "stamp-signer" WrongKey;
    /// The log still is the one that was stamped.
    StampRoot "stamp-root" Forked;
    /// The log still holds the entries that were stamped.
    StampSize "stamp-size" Truncated;
    /// A timestamp is by a trusted authority over this checkpoint.
    StampToken "stamp-token" Altered;
    /// A receipt is of the log whose key is given.
    ReceiptOrigin "receipt-origin" WrongKey;
    /// A receipt is of the entry that is shown.
    ReceiptLeaf "receipt-leaf" Altered;
    /// The hashes of a receipt lead to its root.
    ReceiptProof "receipt-proof" Altered;
    /// A receipt is signed by a key of the log, or one that it certified.
    ReceiptSigner "receipt-signer" WrongKey;
    /// The certificate of a receipt is in its one form, and covers it.
    ReceiptEpoch "receipt-epoch" Altered;
    /// The numbers of a receipt fit together.
    ReceiptNumbers "receipt-numbers" Altered;
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which checks are made: all of them, but in tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checks {
    #[cfg(test)]
    pub(crate) skipped: Option<Check>,
}

impl Checks {
    /// `Ok` when it holds, or when a test leaves the check out.
    pub(crate) fn require(
        self,
        check: Check,
        holds: bool,
        failure: impl FnOnce() -> Failure,
    ) -> Result<(), Failure> {
        if holds || self.skips(check) { Ok(()) } else { Err(failure()) }
    }

    /// Whether a test leaves this check out.
    #[cfg(test)]
    pub(crate) fn skips(self, check: Check) -> bool {
        self.skipped == Some(check)
    }

    /// Whether a test leaves this check out.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "one signature with the test's")]
    pub(crate) fn skips(self, _check: Check) -> bool {
        false
    }

    /// The failure, unless a test leaves its check out.
    pub(crate) fn fail(self, failure: Failure) -> Result<(), Failure> {
        match failure.check {
            Some(check) if self.skips(check) => Ok(()),
            _ => Err(failure),
        }
    }
}
