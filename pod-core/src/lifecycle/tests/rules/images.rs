//! Images that cannot be pulled, and containers that cannot be configured.

use super::*;

#[test]
fn image_pull_errors_back_off_on_the_same_curve() {
    let mut d = Driver::up("Never", 0, 1);
    let mut waits = Vec::new();
    for _ in 0..7 {
        d.todo();
        d.start_failed("a", "ErrImagePull");
        assert_eq!(d.shown(), "ErrImagePull");
        let shown = d.wait().unwrap();
        d.tick_after(shown);
        assert_eq!(d.shown(), "ImagePullBackOff");
        let rest = d.wait().unwrap();
        waits.push((shown + rest) / SECOND);
        d.tick_after(rest);
        assert_eq!(d.todo(), [start("a", 0)], "a pull that failed is not a run");
        assert_eq!(d.shown(), "ImagePullBackOff");
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    d.started("a");
    assert_eq!((d.shown().as_str(), d.status("a").restart_count), ("Running", 0));
}

#[test]
fn image_pull_errors_are_reported_as_events() {
    let mut d = Driver::up("Always", 0, 1);
    d.start_failed("a", "ErrImagePull");
    d.tick_after(3_000);
    insta::assert_snapshot!(d.messages().join("\n"), @r#"
    Warning Failed: Failed to pull image "img-a": no such thing
    Warning Failed: Error: ErrImagePull
    Normal BackOff: Back-off pulling image "img-a"
    Warning Failed: Error: ImagePullBackOff
    "#);
    let waiting = d.status("a").state.unwrap().waiting.unwrap();
    assert_eq!(waiting.message.unwrap(), "Back-off pulling image \"img-a\": ErrImagePull: no such thing");
}

#[test]
fn config_and_image_name_errors_are_retried_every_10_seconds_whatever_the_policy() {
    for reason in
        ["CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "ErrImageNeverPull"]
    {
        let mut d = Driver::up("Never", 0, 1);
        for _ in 0..4 {
            d.todo();
            d.start_failed("a", reason);
            assert_eq!((d.shown().as_str(), d.wait(), d.state.phase), (reason, Some(10_000), Phase::Pending));
            d.tick_after(10_000);
            assert_eq!(d.todo(), [start("a", 0)]);
            assert_eq!(d.shown(), reason, "shown until it runs");
        }
    }
}
