//! Policy files: no text brings the reader down, and no policy is lost, made up or given another name.

use cedar_policy::PolicySet;
use policy::{Bundle, ID_BYTES_MAX, Problem, Severity, Source};
use std::collections::BTreeSet;

/// The input is the text of policy files, one after the other with a NUL between them.
pub fn policy_bundle(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sources: Vec<Source> = text
        .split('\0')
        .enumerate()
        .map(|(index, text)| Source { name: format!("{index:04}.cedar"), text: text.to_owned() })
        .collect();
    match Bundle::parse(sources.clone()) {
        Ok(bundle) => {
            check_ids(&bundle, &sources);
            let told = |problem: &Problem| problem.severity == Severity::Warning;
            assert!(bundle.warnings().iter().all(told), "an error in a usable set");
            check_problems(bundle.warnings(), &sources);
            check_order(&bundle, sources);
        }
        Err(problems) => {
            let error = |problem: &Problem| problem.severity == Severity::Error;
            assert!(problems.iter().any(error), "refused without an error");
            check_problems(&problems, &sources);
        }
    }
}

/// The identifiers are those that Cedar itself finds, each once.
fn check_ids(bundle: &Bundle, sources: &[Source]) {
    let ids: Vec<&str> = bundle.ids().collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "an identifier twice");
    for id in &ids {
        assert!((1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control));
    }
    let mut found = BTreeSet::new();
    let mut count = 0;
    for source in sources {
        let set: PolicySet = source.text.parse().expect("Cedar reads a usable file");
        assert_eq!(set.templates().count(), 0, "a template in a usable set");
        for policy in set.policies() {
            found.insert(policy.annotation("id").expect("a usable policy has a name").to_owned());
            count += 1;
        }
    }
    assert_eq!(count, ids.len(), "a policy was lost or made up");
    assert!(found.iter().map(String::as_str).eq(ids), "a policy got another name");
}

/// Problems are in order, and each is at a place that is there.
fn check_problems(problems: &[Problem], sources: &[Source]) {
    assert!(problems.is_sorted() && problems.windows(2).all(|pair| pair[0] != pair[1]));
    for problem in problems {
        assert!(!problem.message.is_empty());
        let source = sources.iter().find(|source| source.name == problem.file);
        assert_eq!(source.is_none(), problem.file.is_empty(), "a file that is not there");
        if let Some(source) = source.filter(|_| 0 < problem.line) {
            // Behind the last line feed is a line, too.
            let line = source.text.split('\n').nth(problem.line - 1).expect("a line that is there");
            assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem}");
        }
    }
}

/// The order in which files are found changes nothing, their names and contents do.
fn check_order(bundle: &Bundle, mut sources: Vec<Source>) {
    sources.reverse();
    let reversed = Bundle::parse(sources.clone()).expect("the order of files does not matter");
    assert_eq!(reversed.digest(), bundle.digest());
    assert!(reversed.ids().eq(bundle.ids()));
    if let Some(first) = sources.first_mut() {
        first.text.push(' ');
    }
    if let Ok(other) = Bundle::parse(sources) {
        assert_ne!(other.digest(), bundle.digest(), "another set has the same digest");
    }
}
