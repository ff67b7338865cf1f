//! What is read from a directory, what is passed over, and what is refused.

use super::fingerprint;
use crate::bundle::{BUNDLE_FILES_MAX, Bundle, FILE_BYTES_MAX};
use crate::check::check;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

const PING: &str = "@id(\"a\") permit (principal, action == Action::\"ping\", resource);";

#[test]
fn policy_files_of_the_directory_itself_are_read() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("b.cedar"), PING.replace("\"a\"", "\"b\"")).unwrap();
    fs::write(at("a.cedar"), PING).unwrap();
    fs::write(at("README.md"), "not a policy").unwrap();
    fs::write(at("c.cedar~"), "not a policy").unwrap();
    fs::write(at(".#a.cedar"), "not a policy").unwrap();
    fs::create_dir(at("..data")).unwrap();
    let bundle = Bundle::load(place.path()).unwrap();
    assert_eq!(bundle.ids().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bundle.warnings(), []);
}

#[test]
#[cfg(unix)]
fn links_are_followed() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("..data")).unwrap();
    fs::write(place.path().join("..data/a.cedar"), PING).unwrap();
    std::os::unix::fs::symlink("..data/a.cedar", place.path().join("a.cedar")).unwrap();
    assert_eq!(Bundle::load(place.path()).unwrap().ids().collect::<Vec<_>>(), ["a"]);
    fs::remove_dir_all(place.path().join("..data")).unwrap();
    assert_eq!(
        told(place.path()),
        ["a.cedar: error: cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn what_looks_like_policies_and_is_not_read_is_told() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.cedar"), PING).unwrap();
    fs::write(place.path().join("b.CEDAR"), PING).unwrap();
    fs::create_dir(place.path().join("more")).unwrap();
    fs::create_dir(place.path().join("old.cedar")).unwrap();
    assert_eq!(
        told(place.path()),
        [
            "b.CEDAR: warning: the file is not read\n  help: names of policy files end in `.cedar`, in lower case",
            "more: warning: the subdirectory is not read\n  help: policy files lie in the bundle directory itself",
            "old.cedar: warning: the subdirectory is not read\n  help: policy files lie in the bundle directory itself",
        ]
    );
    assert!(check(place.path()).is_usable());
}

#[test]
fn unreadable_contents_are_told_beside_everything_else() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.cedar"), b"// good\n// b\xffad").unwrap();
    fs::write(
        place.path().join("b.cedar"),
        "permit (principal, action == Action::\"ping\", resource);",
    )
    .unwrap();
    let size = usize::try_from(FILE_BYTES_MAX).unwrap();
    fs::write(place.path().join("c.cedar"), " ".repeat(size)).unwrap();
    fs::write(place.path().join("d.cedar"), " ".repeat(size + 1)).unwrap();
    assert_eq!(
        told(place.path()),
        [
            "a.cedar:2:5: error: the file is not UTF-8",
            "b.cedar:1:1: error: the policy has no `@id`\n  help: put `@id(\"...\")` before it: the log names policies by it",
            "d.cedar: error: the file is larger than 1048576 bytes",
        ]
    );
    let report = check(place.path());
    assert!(!report.is_usable());
    assert_eq!(report.policies, 1);
    assert!(report.digest.is_some());
    assert!(Bundle::load(place.path()).is_err());
}

#[test]
fn size_of_all_files_together_is_limited() {
    let place = tempfile::tempdir().unwrap();
    let size = usize::try_from(FILE_BYTES_MAX).unwrap();
    for n in 10..27 {
        fs::write(place.path().join(format!("{n}.cedar")), " ".repeat(size)).unwrap();
    }
    assert_eq!(
        told(place.path()),
        ["26.cedar: error: the files are larger than 16777216 bytes together"]
    );
}

#[test]
fn number_of_files_is_limited() {
    let place = tempfile::tempdir().unwrap();
    for n in 0..BUNDLE_FILES_MAX {
        fs::write(place.path().join(format!("{n}.cedar")), "").unwrap();
    }
    assert!(fingerprint(place.path()).is_ok());
    assert!(check(place.path()).is_usable());
    fs::write(place.path().join("z.cedar"), "").unwrap();
    assert_eq!(told(place.path()), ["error: the directory holds more than 1000 policy files"]);
    assert!(fingerprint(place.path()).is_err());
}

#[test]
fn directory_that_is_not_there_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing");
    let expected = format!(
        "error: cannot read the directory `{}`: No such file or directory (os error 2)\n  help: name a directory that holds `.cedar` files",
        missing.display()
    );
    assert_eq!(told(&missing), [expected]);
    assert_eq!(check(&missing).digest, None);
    assert!(fingerprint(&missing).is_err());
}

#[test]
fn fingerprint_sees_names_sizes_and_times_of_policy_files() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.cedar");
    fs::write(&path, "a").unwrap();
    let mut seen = vec![fingerprint(place.path()).unwrap()];
    fs::write(place.path().join("README.md"), "x").unwrap();
    fs::write(place.path().join(".swap.cedar"), "x").unwrap();
    assert_eq!(fingerprint(place.path()).unwrap(), seen[0]);
    let mut changed = || {
        let now = fingerprint(place.path()).unwrap();
        assert!(!seen.contains(&now), "{now:?}");
        seen.push(now);
    };
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    changed();
    fs::write(&path, "ab").unwrap();
    changed();
    fs::rename(&path, place.path().join("b.cedar")).unwrap();
    changed();
    fs::write(place.path().join("c.cedar"), "").unwrap();
    changed();
}

fn told(directory: &Path) -> Vec<String> {
    let problems = check(directory).problems;
    problems
        .iter()
        .map(ToString::to_string)
        .filter(|text| !text.contains("no policy permits"))
        .collect()
}
