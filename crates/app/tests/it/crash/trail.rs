//! What the log says of the calls, as `search` shows it.

use anyhow::Context as _;
use serde_json::Value;
use std::collections::BTreeSet;

/// The numbers of the calls on record, by what is known of their end.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) asked: BTreeSet<u32>,
    pub(super) answered: BTreeSet<u32>,
    pub(super) in_doubt: BTreeSet<u32>,
}

impl Trail {
    /// Reads the output of `search --json`. Refuses records that should not be there.
    pub(super) fn read(output: &[u8]) -> anyhow::Result<Self> {
        let mut trail = Self::default();
        for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line)?;
            trail.take(&record).with_context(|| record.to_string())?;
        }
        Ok(trail)
    }

    fn take(&mut self, record: &Value) -> anyhow::Result<()> {
        let text = |path: &str| record.pointer(path).and_then(Value::as_str);
        anyhow::ensure!(text("/kind") == Some("call.asked"), "not a call that was passed on");
        let tool = text("/resource/names/0").context("no tool")?;
        let number = tool.strip_prefix('t').context("not one of our tools")?.parse()?;
        anyhow::ensure!(self.asked.insert(number), "asked twice");
        anyhow::ensure!(record.get("end_entry").is_some(), "has no end");
        let ended = match text("/outcome/status").context("no outcome")? {
            "ok" => &mut self.answered,
            "unknown" => &mut self.in_doubt,
            other => anyhow::bail!("ended with `{other}`"),
        };
        ended.insert(number);
        Ok(())
    }
}
