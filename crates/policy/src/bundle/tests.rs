//! Every problem is told, and told where it is.

use super::{Bundle, ID_BYTES_MAX, NESTING_MAX, POLICIES_MAX, Source};
use crate::STARTER_POLICY;

/// Reads files and compares all that is told about them, line by line.
fn check(files: &[(&str, &str)], usable: bool, expected: &str) {
    let sources = files
        .iter()
        .map(|(name, text)| Source { name: (*name).to_owned(), text: (*text).to_owned() })
        .collect();
    let result = Bundle::parse(sources);
    assert_eq!(result.is_ok(), usable, "{result:#?}");
    let problems = result.map_or_else(|problems| problems, |bundle| bundle.warnings().to_vec());
    let told: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| match line.strip_prefix("help:") {
            Some(help) => format!("  help:{help}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    assert_eq!(told, expected, "\n--- told ---\n{told}");
}

#[test]
fn good_set_has_nothing_to_tell() {
    check(&[("a.cedar", STARTER_POLICY)], true, "");
}

#[test]
fn syntax_errors_are_told_for_every_file() {
    check(
        &[
            ("a.cedar", "@id(\"a\")\npermit (principal, action resource);\n"),
            ("b.cedar", "@id(\"b\") permit (principal, action, resource) when { context.session\n"),
            ("c.cedar", "@id(\"c\") permit (principal, action, resource) when { é };"),
        ],
        false,
        r#"
        a.cedar:2:27: error: unexpected token `resource`
        help: expected `!=`, `)`, `,`, `:`, `<`, `<=`, `==`, `>`, `>=`, `in`, or `is`
        b.cedar:1:69: error: unexpected end of input
        help: expected `!=`, `&&`, `(`, `*`, `+`, `-`, `.`, `<`, `<=`, `==`, `>`, `>=`, `[`, `||`, `}`, `has`, `in`, `is`, or `like`
        c.cedar:1:54: error: invalid token
        "#,
    );
}

#[test]
fn a_message_stays_on_one_line() {
    let text = "@id(\"a\") permit (principal, action \"b\nc\", resource);";
    let problems =
        Bundle::parse(vec![Source { name: "a.cedar".to_owned(), text: text.to_owned() }]);
    for problem in problems.unwrap_err() {
        assert_eq!(problem.message, r#"unexpected token `"b\nc"`"#);
    }
}

#[test]
fn every_policy_needs_an_id_of_its_own() {
    let long = "x".repeat(ID_BYTES_MAX + 1);
    check(
        &[
            (
                "a.cedar",
                "// permit (principal, action == Action::\"ping\", resource);\n\
                 permit (principal, action == Action::\"ping\", resource);\n\
                 @id(\"one\") permit (principal, action == Action::\"ping\", resource);   @id(\"two\")\n\
                 permit (principal, action == Action::\"ping\", resource);",
            ),
            (
                "b.cedar",
                &format!(
                    "\n  @id(\"two\") permit (principal, action == Action::\"ping\", resource);\n\
                     @id permit (principal, action == Action::\"ping\", resource);\n\
                     @id(\"\\n\") permit (principal, action == Action::\"ping\", resource);\n\
                     @id(\"{long}\") permit (principal, action == Action::\"ping\", resource);\n"
                ),
            ),
        ],
        false,
        r#"
        a.cedar:2:1: error: the policy has no `@id`
        help: put `@id("...")` before it: the log names policies by it
        b.cedar:2:3: error: the `@id` `two` is used twice
        help: the first is at a.cedar:3:70
        b.cedar:3:1: error: an `@id` has 1 to 128 bytes and no control characters
        b.cedar:4:1: error: an `@id` has 1 to 128 bytes and no control characters
        b.cedar:5:1: error: an `@id` has 1 to 128 bytes and no control characters
        "#,
    );
}

#[test]
fn templates_are_refused() {
    check(
        &[(
            "a.cedar",
            "@id(\"a\") permit (principal, action == Action::\"ping\", resource);\n\
             @id(\"t\") permit (principal == ?principal, action == Action::\"ping\", resource);\n\
             @id(\"b\") permit (principal, action == Action::\"pnig\", resource);",
        )],
        false,
        r#"
        a.cedar:2:1: error: templates are not supported
        help: write a policy for each principal or resource instead of `?principal` and `?resource`
        a.cedar:3:39: error: policy `b`: unrecognized action `Action::"pnig"`
        help: actions are named after methods, as in `Action::"tools/call"`; all others come under `Action::"other"`, where `context.method` tells them apart
        "#,
    );
}

#[test]
fn misspellings_are_told_with_a_suggestion() {
    check(
        &[(
            "a.cedar",
            r#"@id("attribute") permit (principal is Actor, action, resource)
  when { principal.levle >= 4 };
@id("context") permit (principal, action, resource)
  when { context.sesion };
@id("optional") permit (principal, action, resource)
  when { context.region == "eu" };
@id("entity") permit (principal is Acter, action, resource);
@id("action") permit (principal, action == Action::"tool/call", resource);
@id("bare-type") permit (principal, action == Action::"ping", resource)
  when { context.request_bytes == "12" };
@id("no-attribute-on-servers") permit (principal, action, resource)
  when { principal.level >= 4 };
"#,
        )],
        false,
        r#"
        a.cedar:2:10: error: policy `attribute`: attribute `levle` on entity type `Actor` not found
        help: did you mean `level`? If the policy is about other things only, say so in its scope, as in `principal is Actor` or `resource is Tool`
        a.cedar:4:10: error: policy `context`: attribute `sesion` in the context not found
        help: did you mean `session`?
        a.cedar:6:10: error: policy `optional`: unable to guarantee safety of access to optional attribute `region` in the context
        help: try testing for the attribute's presence with `context has region && ..`
        a.cedar:7:36: error: policy `entity`: unrecognized entity type `Acter`
        help: did you mean `Actor`?
        a.cedar:8:44: error: policy `action`: unrecognized action `Action::"tool/call"`
        help: did you mean `Action::"tools/call"`?
        a.cedar:10:10: error: policy `bare-type`: the types Long and String are not compatible
        help: both operands to a `==` expression must have compatible types. Types must be exactly equal to be compatible
        a.cedar:12:10: error: policy `no-attribute-on-servers`: attribute `level` on entity type `Server` not found
        help: did you mean `name`? If the policy is about other things only, say so in its scope, as in `principal is Actor` or `resource is Tool`
        "#,
    );
}

#[test]
fn attributes_that_would_be_missing_at_run_time_do_not_pass() {
    check(
        &[(
            "a.cedar",
            r#"@id("literal") forbid (principal, action, resource)
  when { Tool::"tracker/t".name == "t" };
@id("fine") permit (principal in Provider::"github", action == Action::"tools/call", resource in Server::"tracker")
  when { resource.name == "t" && principal.level >= 4 };
"#,
        )],
        false,
        r#"
        a.cedar:2:10: error: policy `literal`: entity literals cannot be dereferenced at any level
        "#,
    );
}

#[test]
fn suspicious_sets_are_usable_with_warnings() {
    check(
        &[],
        true,
        r#"
        warning: no policy permits anything, so every call is refused
        help: add a `permit` policy to a `.cedar` file
        "#,
    );
    check(
        &[("a.cedar", "@id(\"a\") forbid (principal, action, resource);")],
        true,
        r#"
        warning: no policy permits anything, so every call is refused
        help: add a `permit` policy to a `.cedar` file
        "#,
    );
    check(
        &[(
            "a.cedar",
            r#"@id("all") permit (principal, action, resource);
  @id("impossible") permit (principal, action == Action::"ping", resource) when { principal is Server };
@id("nowhere") permit (principal, action == Action::"tools/call", resource is Prompt);
@id("bidi") permit (principal, action == Action::"tools/call", resource == Tool::"x/\u{202e}y");
@id("group") forbid (principal, action, resource);
"#,
        )],
        true,
        "a.cedar:1:1: warning: policy `all`: permits everything to everybody
        help: limit the principal, the action or the resource, or add a `when` clause
        a.cedar:2:3: warning: policy `impossible`: policy is impossible: the policy expression evaluates to false for all valid requests
        a.cedar:3:1: warning: policy `nowhere`: unable to find an applicable action given the policy scope constraints
        a.cedar:4:1: warning: policy `bidi`: identifier `x/\u{202e}y` contains BIDI control characters
        ",
    );
}

#[test]
fn number_of_policies_is_limited() {
    let policy =
        |n: usize| format!("@id(\"{n}\")permit(principal,action==Action::\"ping\",resource);");
    let text: String = (0..=POLICIES_MAX).map(policy).collect();
    check(
        &[("a.cedar", &text)],
        false,
        r#"error: there are 10001 policies; at most 10000 are allowed"#,
    );
}

#[test]
fn digest_follows_names_and_contents_and_not_the_order_given() {
    let policy = "@id(\"a\") permit (principal, action == Action::\"ping\", resource);";
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let digest = |sources| Bundle::parse(sources).unwrap().digest().to_owned();
    let one = digest(vec![source("a.cedar", policy), source("b.cedar", "")]);
    assert_eq!(one, digest(vec![source("b.cedar", ""), source("a.cedar", policy)]));
    assert_ne!(one, digest(vec![source("a.cedar", policy)]));
    assert_ne!(one, digest(vec![source("a.cedar", ""), source("b.cedar", policy)]));
    assert_ne!(one, digest(vec![source("a.cedar", policy), source("b.cedar", " ")]));
}

#[test]
fn ids_are_sorted_and_keep_the_text_of_their_policy() {
    let text = "@id(\"b\") permit (principal, action == Action::\"ping\", resource);\n// x\n@id(\"a\")\nforbid (principal, action, resource);";
    let bundle =
        Bundle::parse(vec![Source { name: "x.cedar".to_owned(), text: text.to_owned() }]).unwrap();
    assert_eq!(bundle.ids().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bundle.texts()["a"], "@id(\"a\")\nforbid (principal, action, resource);");
    assert!(bundle.schema().starts_with("sha256:"));
}

/// On a thread of a test, whose stack is as small as that of the thread that reloads.
#[test]
fn what_is_nested_too_deep_is_told_before_the_stack_ends() {
    let nested = |depth: usize| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        format!(
            "@id(\"a\") permit (principal, action, resource is Server) when {{ {open}context.session{close} }};"
        )
    };
    check(&[("a.cedar", &nested(NESTING_MAX - 1))], true, "");
    for depth in [NESTING_MAX, 100_000] {
        check(
            &[("a.cedar", &nested(depth))],
            false,
            "a.cedar:1:87: error: brackets are nested more than 24 deep
             help: take the condition apart: several policies, or a set of names",
        );
    }
}

#[test]
fn long_conditions_do_not_end_the_stack() {
    let long = |terms: usize| {
        let terms = vec!["context.session"; terms].join(" && ");
        format!("@id(\"a\") permit (principal, action, resource is Server) when {{ {terms} }};")
    };
    check(&[("a.cedar", &long(600))], true, "");
    check(
        &[("a.cedar", &long(10_000))],
        false,
        "a.cedar:1:12734: error: the policy has more than 2000 signs of operators
         help: take the condition apart: several policies, or a set of names",
    );
}
