//! How long the disk itself takes to make one small append durable.

use crate::audited::zeroed;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

/// Appends in one measurement.
const APPENDS: u64 = 100;
const APPEND_BYTES: usize = 1_024;

/// The median of some appends, each with its `fdatasync`, in microseconds.
pub(crate) fn sync_us(directory: &Path) -> anyhow::Result<f64> {
    let path = directory.join("disk");
    let file = zeroed(&path, 1 << 20)?;
    let entry = vec![b'e'; APPEND_BYTES];
    let mut times = Vec::new();
    for n in 0..APPENDS {
        let begun = Instant::now();
        file.write_all_at(&entry, n * u64::try_from(APPEND_BYTES)?)?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(path)?;
    Ok(median(&mut times))
}

/// The median.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Median and extremes in words.
pub(crate) fn told(values: &mut [f64]) -> String {
    let median = median(values);
    let (least, most) = (values.first(), values.last());
    format!(
        "{median:.0} µs ({:.0} to {:.0})",
        least.copied().unwrap_or_default(),
        most.copied().unwrap_or_default()
    )
}
