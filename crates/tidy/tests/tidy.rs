//! Runs every rule over the repository this crate stands in. The rules and the samples they must
//! refuse are in `src/`.

use std::io;
use std::path::Path;

use tidy::tree::{File, Finding, Tree};
use tidy::{edges, layout, links, source, words};

#[test]
fn the_whole_tree_is_read() -> io::Result<()> {
    let tree = repository()?;
    assert!(tree.file("crates/tidy/tests/tidy.rs").is_some());
    assert!(tree.file("Cargo.lock").is_some());
    assert!(tree.crates().count() > 5, "{:?}", tree.crates().collect::<Vec<_>>());
    assert!(!tree.paths.iter().any(|path| path.starts_with("target/")));
    Ok(())
}

#[test]
fn arrows_between_crates_are_the_allowed_ones() -> io::Result<()> {
    none(&edges::check(&repository()?));
    Ok(())
}

#[test]
fn every_crate_has_its_page_its_lints_and_honest_names() -> io::Result<()> {
    none(&layout::check(&repository()?));
    Ok(())
}

#[test]
fn sources_keep_the_rules() -> io::Result<()> {
    each_file(source::check)
}

#[test]
fn no_file_is_unfinished_or_tied_to_one_machine() -> io::Result<()> {
    each_file(words::check)
}

#[test]
fn links_between_pages_lead_somewhere() -> io::Result<()> {
    none(&links::check(&repository()?));
    Ok(())
}

/// Cargo runs tests in their crate's folder. Its path at compile time would be another repository's
/// when two of them share a target folder.
fn repository() -> io::Result<Tree> {
    Tree::read(Path::new("../.."))
}

fn each_file(rule: impl Fn(&File) -> Vec<Finding>) -> io::Result<()> {
    none(&repository()?.files.iter().flat_map(rule).collect::<Vec<_>>());
    Ok(())
}

#[track_caller]
fn none(findings: &[Finding]) {
    let list = findings.iter().map(|finding| format!("\n  {finding}")).collect::<String>();
    assert!(findings.is_empty(), "{} findings:{list}", findings.len());
}
