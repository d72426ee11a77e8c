//! Keeps events that are repeated, such as those of a probe that fails each second, from filling the file of events.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// How many events about one thing are written at once.
const BURST: u32 = 10;
/// After that, one is written in this time: the rate of the kubelet's own filter.
const REFILL: SignedDuration = SignedDuration::from_mins(5);

/// How many times an event has occurred, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// count.
    pub count: u32,
    /// firstTimestamp.
    pub first: Timestamp,
    /// lastTimestamp.
    pub last: Timestamp,
}

impl Occurrence {
    /// Returns that of an event that has occurred once.
    pub fn once(now: Timestamp) -> Self {
        Self { count: 1, first: now, last: now }
    }
}

/// The repeated events of a pod. The same event is written again when its count has doubled, and at least every five
/// minutes; all events about one thing are limited together, whatever their messages are.
#[derive(Debug, Default)]
pub struct Repeats {
    series: BTreeMap<(String, String), Series>,
}

#[derive(Debug)]
struct Series {
    message: String,
    occurrence: Occurrence,
    /// The count that was written last; 0 if this message was never written.
    written: u32,
    written_at: Timestamp,
    tokens: u32,
    refilled: Timestamp,
}

impl Repeats {
    /// Counts an event about `what`. Returns what is to be written about it now, if anything is.
    pub fn note(&mut self, what: (&str, &str), message: &str, now: Timestamp) -> Option<Occurrence> {
        let key = (what.0.to_owned(), what.1.to_owned());
        let series = self.series.entry(key).or_insert_with(|| Series {
            message: message.to_owned(),
            occurrence: Occurrence { count: 0, first: now, last: now },
            written: 0,
            written_at: now,
            tokens: BURST,
            refilled: now,
        });
        if series.message != message {
            message.clone_into(&mut series.message);
            series.occurrence = Occurrence { count: 0, first: now, last: now };
            series.written = 0;
        }
        series.occurrence.count = series.occurrence.count.saturating_add(1);
        series.occurrence.last = now;
        while series.tokens < BURST && now.duration_since(series.refilled) >= REFILL {
            series.tokens += 1;
            series.refilled += REFILL;
        }
        let is_due = series.occurrence.count >= series.written.saturating_mul(2)
            || now.duration_since(series.written_at) >= REFILL;
        if !is_due || series.tokens == 0 {
            return None;
        }
        if series.tokens == BURST {
            series.refilled = now;
        }
        series.tokens -= 1;
        series.written = series.occurrence.count;
        series.written_at = now;
        Some(series.occurrence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes an event each second and returns the counts that are written.
    fn written(seconds: i64, message: impl Fn(i64) -> String) -> Vec<u32> {
        let mut repeats = Repeats::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let note = |second| repeats.note(("web", "Readiness"), &message(second), at(second));
        (0..seconds).filter_map(note).map(|occurrence| occurrence.count).collect()
    }

    #[test]
    fn an_event_that_is_repeated_is_counted_and_written_ever_more_rarely() {
        let counts = written(300, |_| "refused".to_owned());
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        let day = written(24 * 3600, |_| "refused".to_owned());
        assert!(day.len() < 310, "{}", day.len());
        assert!(*day.last().unwrap() > 86_000, "the count is no older than five minutes");
    }

    #[test]
    fn messages_that_differ_each_time_are_limited_too() {
        let day = written(24 * 3600, |second| format!("at {second}"));
        assert!(day.len() < 310, "{}", day.len());
    }
}
