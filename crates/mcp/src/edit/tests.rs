//! Single changes, written out.

use super::{Edit, Found, Problem, Step, find, quoted};
use Step::{Each, Index, Key};

fn edited(
    text: &str,
    change: impl FnOnce(&mut Edit<'_>) -> Result<usize, Problem>,
) -> (usize, String) {
    let mut edit = Edit::new(text.as_bytes()).unwrap();
    let count = change(&mut edit).unwrap();
    (count, String::from_utf8(edit.finish().unwrap()).unwrap())
}

#[test]
fn values_are_found_where_they_stand() {
    let text = r#" {"a" : [ {"n":1.0} , {"m":2} ,{"n": [3e0]}], "b":{"x":{"n":4},"y":{"n":5}}}"#;
    let raws = |path: &[Step<'_>]| -> Vec<&str> {
        let found = find(text.as_bytes(), path).unwrap();
        assert!(found.iter().all(|Found { start, raw }| {
            text.get(*start..).is_some_and(|rest| rest.starts_with(raw))
        }));
        found.iter().map(|found| found.raw).collect()
    };
    assert_eq!(raws(&[Key("a"), Each, Key("n")]), ["1.0", "[3e0]"]);
    assert_eq!(raws(&[Key("a"), Index(1)]), [r#"{"m":2}"#]);
    assert_eq!(raws(&[Key("b"), Each, Key("n")]), ["4", "5"]);
    assert_eq!(raws(&[]), [text.trim()]);
    assert_eq!(raws(&[Key("a"), Key("n")]), [""; 0]);
    assert_eq!(raws(&[Key("a"), Index(3)]), [""; 0]);
    assert_eq!(raws(&[Key("b"), Index(0)]), [""; 0]);
}

#[test]
fn a_key_is_compared_decoded() {
    let found = find(br#"{"\u0061":1}"#, &[Key("a")]).unwrap();
    assert_eq!(found, [Found { start: 10, raw: "1" }]);
    assert!(find(br#"{"\u0061":1,"a":2}"#, &[Key("a")]).is_err());
}

#[test]
fn many_values_are_rewritten_at_once() {
    let text = r#"{"t":[{"name":"a" ,"x":10000000000000000000001},{"name" : "b"},{"y":1}]}"#;
    let path = [Key("t"), Each, Key("name")];
    let (count, out) = edited(text, |edit| {
        edit.rewrite(&path, |raw| Some(format!("\"p_{}", raw.strip_prefix('"')?).into()))
    });
    assert_eq!(count, 2);
    let wanted = r#"{"t":[{"name":"p_a" ,"x":10000000000000000000001},{"name" : "p_b"},{"y":1}]}"#;
    assert_eq!(out, wanted);
    let (count, same) = edited(text, |edit| edit.rewrite(&path, |_| None));
    assert_eq!((count, same.as_str()), (0, text));
}

#[test]
fn commas_go_with_what_is_taken_out() {
    let text = r#"{"t":[ 0 , 1,2 ,3 ]}"#;
    for (keep, wanted) in [
        (vec![], r#"{"t":[  ]}"#),
        (vec![0], r#"{"t":[ 0 ]}"#),
        (vec![3], r#"{"t":[ 3 ]}"#),
        (vec![1, 3], r#"{"t":[ 1 ,3 ]}"#),
        (vec![0, 2], r#"{"t":[ 0,2 ]}"#),
        (vec![1, 2], r#"{"t":[ 1,2 ]}"#),
        (vec![0, 1, 2, 3], text),
    ] {
        let (count, out) =
            edited(text, |edit| edit.retain(&[Key("t")], |place, _| keep.contains(&place)));
        assert_eq!((count, out.as_str()), (4 - keep.len(), wanted));
    }
    let (count, out) = edited(r#"{"a":1, "b" :2,"c":3}"#, |edit| edit.remove(&[], "b"));
    assert_eq!((count, out.as_str()), (1, r#"{"a":1,"c":3}"#));
    let (count, out) = edited(r#"{"a":1}"#, |edit| edit.retain(&[], |_, raw| raw != "1"));
    assert_eq!((count, out.as_str()), (1, "{}"));
}

#[test]
fn a_member_is_put_in_once() {
    let insert = |text| edited(text, |edit| edit.insert(&[Key("r")], "k\"", "[7]"));
    assert_eq!(insert(r#"{"r":{ }}"#), (1, r#"{"r":{"k\"":[7] }}"#.to_owned()));
    assert_eq!(insert(r#"{"r":{"a":1}}"#), (1, r#"{"r":{"k\"":[7],"a":1}}"#.to_owned()));
    for same in [r#"{"r":{"k\u0022":1}}"#, r#"{"r":[1]}"#, r#"{"r":"{"}"#, "[]", "{}"] {
        assert_eq!(insert(same), (0, same.to_owned()));
    }
}

#[test]
fn changes_of_one_place_are_refused() {
    let mut edit = Edit::new(br#"{"a":{"b":1}}"#).unwrap();
    edit.replace(&[Key("a")], "2").unwrap();
    edit.replace(&[Key("a"), Key("b")], "3").unwrap();
    assert_eq!(edit.finish(), Err(Problem::Overlap));
    let mut edit = Edit::new(br#"{"a":1}"#).unwrap();
    edit.remove(&[], "a").unwrap();
    assert_eq!(edit.insert(&[], "b", "2"), Err(Problem::Overlap));
    assert_eq!(edit.finish().unwrap(), b"{}");
}

#[test]
fn only_json_is_put_in_and_only_into_json() {
    let mut edit = Edit::new(b"{\"a\":1}").unwrap();
    for bad in ["", "1,2", "x", "\"", "{", "1}"] {
        assert_eq!(edit.replace(&[Key("a")], bad), Err(Problem::NotJson), "{bad}");
        assert_eq!(edit.insert(&[], "b", bad), Err(Problem::NotJson), "{bad}");
    }
    assert_eq!(edit.finish().unwrap(), b"{\"a\":1}");
    assert!(Edit::new(b"{").is_err());
    assert!(Edit::new(b"{} {}").is_err());
    assert_eq!(quoted("a\"\\\n\u{1}\u{e9}"), "\"a\\\"\\\\\\n\\u0001\u{e9}\"");
}
