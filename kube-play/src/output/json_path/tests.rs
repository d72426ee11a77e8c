//! Tests of the dialect: the examples of the Kubernetes documentation, and what client-go's own tests assert.

use serde_json::json;

use super::*;

/// The object of the Kubernetes documentation, "JSONPath Support".
fn documented() -> Value {
    json!({
        "kind": "List",
        "items": [
            {
                "kind": "None",
                "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
                "status": {"capacity": {"cpu": "4"}, "ready": true,
                    "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]},
            },
            {
                "kind": "None",
                "metadata": {"name": "127.0.0.2", "labels": {"kubernetes.io/hostname": "127.0.0.2"}},
                "status": {"capacity": {"cpu": "8"}, "ready": false,
                    "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"},
                        {"type": "another", "address": "127.0.0.3"}]},
            },
        ],
        "users": [
            {"name": "myself", "user": {}},
            {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
        ],
    })
}

#[track_caller]
fn rendered(template: &str, object: &Value) -> String {
    Template::parse(template).unwrap().render(object).unwrap()
}

#[test]
fn the_documented_examples_print_what_they_should() {
    let object = documented();
    for (template, text) in [
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        ("{$.kind}", "List"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.users[0].name}", "myself"),
        ("{.items[*]['metadata.name', 'status.capacity']}", r#"127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}"#),
        (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
            r#"[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] "#,
        ),
        ("{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t"),
        (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
        (r"{.items[0].metadata.labels['kubernetes\.io/hostname']}", "127.0.0.1"),
    ] {
        assert_eq!(rendered(template, &object), text, "{template}");
    }
    assert_eq!(rendered("{@}", &object), object.to_string());
}

#[test]
fn the_examples_of_client_go_print_what_they_should() {
    let object = documented();
    for (template, text) in [
        ("hello jsonpath", "hello jsonpath"),
        (r#"{"{"}"#, "{"),
        ("{range .items[*]}{.metadata.name}, {end}{.kind}", "127.0.0.1, 127.0.0.2, List"),
        ("{.items[*].status.addresses[*].address}", "127.0.0.1 127.0.0.2 127.0.0.3"),
        (
            "{range .items[*]}{range .status.addresses[*]}{.address}, {end}{end}",
            "127.0.0.1, 127.0.0.2, 127.0.0.3, ",
        ),
        (r#"{.items[?(@.metadata.labels.kubernetes\.io/hostname=="127.0.0.1")].kind}"#, "None"),
        ("{.items[?(@..ready==true)].metadata.name}", "127.0.0.1"),
        ("before-{.hello}after", "before-after"),
        ("{range .absent[*]}{.name}{range .more[*]}{.x}{end}{'+'}{end}", ""),
        ("{...password}", "secret"),
        ("{ .users[1].name }", "e2e"),
        (".kind", "List"),
    ] {
        assert_eq!(rendered(template, &object), text, "{template}");
    }
    let numbers = json!([2, 6, 3, 7]);
    assert_eq!(rendered("{[?(@<5)]}", &numbers), "2 3");
    assert_eq!(rendered("{[?(@ >= 6)]}", &numbers), "6 7");
    assert_eq!(rendered("{[1,3]}", &numbers), "6 7");
    assert_eq!(rendered("{..}", &json!([1, 2, 3])), "[1,2,3]");
    let points = json!([{"id": "i1", "x": 4}, {"id": "i2", "z": 1}, {"id": "i5", "z": 1.5, "b": true}]);
    assert_eq!(rendered("{[?(@.z)].id}", &points), "i2 i5");
    assert_eq!(rendered("{[0]['id']}", &points), "i1");
    assert_eq!(rendered("{[?(@.z!=1)].id}", &points), "i5");
    assert_eq!(rendered("{[?(@.b==true)].z}", &points), "1.5");
    assert_eq!(rendered("{[*].x}{' '}{[0].*}", &points), "4 i1 4");
}

#[test]
fn nested_ranges_and_conditions_select_what_they_name() {
    let containers = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({"name": name, "another": [{"name": "v1"}, {"name": "v2"}]})).collect()
    };
    let object = json!({"items": [
        {"metadata": {"name": "pod1", "annotations": {"color": "blue"}}, "status": {"phase": "Running"},
            "spec": {"containers": containers(&["foo", "bar"])}},
        {"metadata": {"name": "pod2"}, "status": {"phase": "Failed"},
            "spec": {"containers": containers(&["baz"])}},
        {"resourceVersion": ""},
    ]});
    let template = "{range .items[:2]}{.metadata.name}{\"~\"}{range @.spec.containers[*]}{.name}{\":\"}\
                    {range @.another[*]}{.name}{\",\"}{end}{\"+\"}{end}{\"#\"}{end}";
    assert_eq!(rendered(template, &object), "pod1~foo:v1,v2,+bar:v1,v2,+#pod2~baz:v1,v2,+#");
    let template = r#"{range .items[?(.status.phase=="Running")]}{.metadata.name}{" is Running\n"}{end}"#;
    assert_eq!(rendered(template, &object), "pod1 is Running\n");
    let template = r#"{.items[?(@.metadata.annotations.color=="blue")].metadata.name}"#;
    assert_eq!(rendered(template, &object), "pod1");
    let quoted = json!([{"a": "x)]", "b": 1}, {"a": "y", "b": 2}]);
    assert_eq!(rendered(r#"{[?(@.a=="x)]")].b}"#, &quoted), "1");
}

#[test]
fn indices_and_slices_are_those_of_client_go() {
    let object = json!({"c": ["0", "1", "2", "3"]});
    for (path, text) in [
        ("[0]", "0"),
        ("[-1]", "3"),
        ("[-4]", "0"),
        ("[0:0]", ""),
        ("[5:5]", ""),
        ("[0:-1]", "0 1 2"),
        ("[-1:]", "3"),
        ("[-2:]", "2 3"),
        ("[:2]", "0 1"),
        ("[:4:2]", "0 2"),
        ("[::2]", "0 2"),
        ("[1::2]", "1 3"),
        ("[0:4:9]", "0"),
        ("[*]", "0 1 2 3"),
        ("", r#"["0","1","2","3"]"#),
    ] {
        assert_eq!(rendered(&format!("{{.c{path}}}"), &object), text, "{path}");
    }
    for (path, error) in [
        ("[4]", "array index out of bounds: index 4, length 4"),
        ("[-5]", "array index out of bounds: index -1, length 4"),
        ("[0:5]", "array index out of bounds: index 4, length 4"),
        ("[3:1]", "starting index 3 is greater than ending index 1"),
        ("[-1:0]", "starting index 3 is greater than ending index 0"),
    ] {
        let failed = Template::parse(&format!("{{.c{path}}}")).unwrap().render(&object).unwrap_err();
        assert_eq!(failed.to_string(), error, "{path}");
    }
}

#[test]
fn a_template_that_does_not_fit_the_object_is_an_error() {
    let object = documented();
    for (template, error) in [
        ("{.kind[0]}", "a text is not an array, and has no element 0"),
        ("{.users[1].user[*]}", "an object is not an array, and has no element *"),
        ("{.kind[?(@.a)]}", "a text is not an array and cannot be filtered"),
        (
            "{.items[?(@.status.ready==\"true\")].kind}",
            "incompatible types for comparison: a boolean and a text",
        ),
        (
            "{.items[?(@.status.addresses[*].type==\"another\")].kind}",
            "can only compare one element at a time",
        ),
    ] {
        let failed = Template::parse(template).unwrap().render(&object).unwrap_err();
        assert_eq!(failed.to_string(), error, "{template}");
    }
}

#[test]
fn a_mistake_is_reported_with_its_column() {
    let errors: String = [
        "{.items[}",
        "x {.a",
        "{range .items[*]}{.name}",
        "{.a}{end}",
        "{hello}",
        "{.a.}",
        "{.a.b[x]}",
        "{.a[?(@.b<>1)]}",
        "{.a[?()]}",
        "{.a[?(@.b==\"c\"]}",
        "{.a[0:2:0]}",
        "{\"a}",
        "{\"\\q\"}",
        "{.a ^}",
        "{....a}",
        "{.a['b'}",
        "{end x}",
        "{.größe[x]}",
    ]
    .map(|text| format!("{text:<26} {}\n", Template::parse(text).unwrap_err()))
    .concat();
    insta::assert_snapshot!(errors);
}

#[test]
fn texts_have_the_escapes_of_go() {
    let text = rendered(r#"{"\n\t\\\"\x41\u00e9\101"}{'it\'s'}"#, &json!({}));
    assert_eq!(text, "\n\t\\\"A\u{e9}Ait's");
}

#[test]
fn a_path_may_be_written_without_dot_and_braces() {
    let object = json!({"metadata": {"name": "web", "labels": {"a.b": "c"}}, "items": [1, 2]});
    for text in ["metadata.name", ".metadata.name", "{.metadata.name}", "{metadata.name}", "$.metadata.name"]
    {
        let found = Path::parse(text).unwrap();
        assert_eq!(found.select(&object).unwrap(), [Cow::<Value>::Owned(json!("web"))], "{text}");
    }
    assert_eq!(Path::parse(r"metadata.labels.a\.b").unwrap().select(&object).unwrap()[0].as_str(), Some("c"));
    assert_eq!(Path::parse(".items[*]").unwrap().select(&object).unwrap().len(), 2);
    assert!(Path::parse("absent").unwrap().select(&object).unwrap().is_empty());
    for (wrong, column) in [("{.a", 1), ("a[", 2), (".a[", 3), ("{.a[x]}", 5), ("a{", 2)] {
        assert_eq!(Path::parse(wrong).unwrap_err().column, column, "{wrong}");
    }
}
