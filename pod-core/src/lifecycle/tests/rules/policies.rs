//! restartPolicy and restartPolicyRules of containers.

use super::*;

fn pod(policy: &str, init: &Value, app: &Value) -> Driver {
    let named = |name: &str, more: &Value| {
        let mut container = json!({"name": name, "image": format!("img-{name}")});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    let init = if init.is_null() { json!([]) } else { json!([named("i0", init)]) };
    Driver::of(&json!({"restartPolicy": policy, "initContainers": init, "containers": [named("a", app)]}))
        .begun()
}

fn rules(policy: &str, action: &str, operator: &str, values: &[i32]) -> Value {
    let rule = json!({"action": action, "exitCodes": {"operator": operator, "values": values}});
    json!({"restartPolicy": policy, "restartPolicyRules": [rule]})
}

#[test]
fn the_policy_of_a_container_wins_over_that_of_its_pod() {
    for (of_pod, own, code, restarts) in [
        ("Always", "Never", 1, false),
        ("Never", "Always", 0, true),
        ("Never", "OnFailure", 1, true),
        ("Never", "OnFailure", 0, false),
    ] {
        let mut d = pod(of_pod, &Value::Null, &json!({"restartPolicy": own}));
        d.started("a");
        d.todo();
        d.exited("a", code);
        let expected = if restarts { start("a", 1) } else { Action::RemoveSandbox };
        assert_eq!(d.todo(), [expected], "{of_pod} {own} {code}");
    }
}

#[test]
fn the_policy_of_an_init_container_wins_over_that_of_its_pod() {
    for (of_pod, own, restarts) in [("Always", "Never", false), ("Never", "OnFailure", true)] {
        let mut d = pod(of_pod, &json!({"restartPolicy": own}), &json!({}));
        d.started("i0");
        d.todo();
        d.exited("i0", 1);
        let expected = if restarts { start("i0", 1) } else { Action::RemoveSandbox };
        assert_eq!(d.todo(), [expected], "{of_pod} {own}");
        assert_eq!(d.state.phase.is_terminal(), !restarts);
    }
}

#[test]
fn the_first_rule_that_matches_the_exit_code_restarts_a_container_else_its_policy_decides() {
    for (operator, values, code, restarts) in [
        ("In", &[42][..], 42, true),
        ("In", &[42], 1, false),
        ("NotIn", &[0, 3], 1, true),
        ("NotIn", &[0, 3], 3, false),
    ] {
        let mut d = pod("Never", &Value::Null, &rules("Never", "Restart", operator, values));
        d.started("a");
        d.todo();
        d.exited("a", code);
        let expected = if restarts { start("a", 1) } else { Action::RemoveSandbox };
        assert_eq!(d.todo(), [expected], "{operator} {values:?} {code}");
    }
    let mut d = pod("Never", &rules("Never", "Restart", "In", &[42]), &json!({}));
    d.started("i0");
    d.todo();
    d.exited("i0", 42);
    assert_eq!(d.todo(), [start("i0", 1)]);
    d.started("i0");
    d.exited("i0", 1);
    assert_eq!((d.todo(), d.state.phase), (vec![Action::RemoveSandbox], Phase::Failed));
}

#[test]
fn restarts_by_a_rule_back_off() {
    let mut d = pod("Never", &Value::Null, &rules("Never", "Restart", "In", &[1]));
    d.started("a");
    assert_eq!(d.crash(3), [0, 10, 20]);
}

#[test]
fn restart_all_containers_stops_all_and_begins_with_the_first_init_container_in_the_same_sandbox() {
    let mut d = Driver::of(&json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "i0", "image": "i"}],
        "containers": [{"name": "b", "image": "b"}, {
            "name": "a", "image": "a", "restartPolicy": "Never",
            "restartPolicyRules": [{
                "action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]},
            }],
        }],
    }))
    .begun();
    d.started("i0");
    d.exited("i0", 0);
    d.started("a");
    d.started("b");
    d.todo();
    let restarting = |d: &Driver| d.state.conditions.all_restarting.map(|condition| condition.status);
    assert_eq!(restarting(&d), Some(false));
    d.exited("a", 88);
    assert_eq!((d.todo(), d.wait()), (vec![term("b")], Some(30_000)));
    assert_eq!(restarting(&d), Some(true));
    d.exited("b", 143);
    assert_eq!(d.todo(), [start("i0", 1)]);
    assert_eq!(restarting(&d), Some(false));
    d.started("i0");
    d.exited("i0", 0);
    assert_eq!(d.todo(), [start("b", 1), start("a", 1)]);
    d.started("a");
    d.started("b");
    d.exited("b", 0);
    d.exited("a", 0);
    assert_eq!((d.todo(), d.state.phase), (vec![Action::RemoveSandbox], Phase::Succeeded));
}

#[test]
fn a_failed_probe_asks_the_policy_of_the_container_and_not_its_rules() {
    let probe = json!({"exec": {"command": ["true"]}});
    for (own, told) in [("Never", ""), ("OnFailure", ", will be restarted")] {
        let mut app = rules(own, "Restart", "NotIn", &[0]);
        app["livenessProbe"] = probe.clone();
        let mut d = pod("Always", &Value::Null, &app);
        d.started("a");
        d.messages();
        let probe = ProbeKind::Liveness;
        d.send(&Event::Probed { container: "a".to_owned(), attempt: 0, probe, passed: false });
        assert_eq!(d.messages(), [format!("Normal Killing: Container a failed liveness probe{told}")]);
    }
}
