//! Shows how far the pull of an image is: with bars on a terminal, with plain lines anywhere else. All of it goes to
//! stderr, because stdout is for results.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pod_core::image::Progress;

use crate::output::terminal;

/// Returns the progress display for the pull of one image. Prints at once that the image is being pulled, unless
/// `quiet`.
pub fn of_pull(image: &str, quiet: bool) -> Arc<dyn Progress> {
    if quiet {
        return Arc::new(Notes);
    }
    terminal::note(&format!("pulling {image}"));
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if std::io::stderr().is_terminal() && !dumb {
        Arc::new(Bars::new(ProgressDrawTarget::stderr()))
    } else {
        Arc::new(Lines::default())
    }
}

/// Shortens a digest to the 12 digits that people compare.
fn short(digest: &str) -> &str {
    digest.split_once(':').and_then(|(_, hex)| hex.get(..12)).unwrap_or(digest)
}

/// Returns a number of bytes in a form that people read: `3.1 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut unit = 0;
    // The size in tenths of the unit, so that no floating point is needed.
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || tenths >= 1000 {
        format!("{} {name}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints notes only, for `--quiet`.
struct Notes;

impl Progress for Notes {
    fn layer(&self, _digest: &str, _total: u64) {}
    fn advance(&self, _digest: &str, _bytes: u64) {}
    fn done(&self, _digest: &str) {}
    fn note(&self, message: &str) {
        terminal::note(message);
    }
}

/// Prints one line per layer, when that layer is complete.
#[derive(Default)]
struct Lines {
    totals: Mutex<HashMap<String, u64>>,
}

impl Progress for Lines {
    fn layer(&self, digest: &str, total: u64) {
        locked(&self.totals).insert(digest.to_owned(), total);
    }
    fn advance(&self, _digest: &str, _bytes: u64) {}
    fn done(&self, digest: &str) {
        let total = locked(&self.totals).get(digest).copied().unwrap_or_default();
        terminal::note(&format!("layer {} done, {}", short(digest), size(total)));
    }
    fn note(&self, message: &str) {
        terminal::note(message);
    }
}

/// Shows one bar per layer, and removes the bars when the pull is over.
struct Bars {
    all: MultiProgress,
    layers: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new(target: ProgressDrawTarget) -> Self {
        Self { all: MultiProgress::with_draw_target(target), layers: Mutex::default() }
    }
}

impl Progress for Bars {
    fn layer(&self, digest: &str, total: u64) {
        let bar = self.all.add(ProgressBar::new(total));
        let template = "{prefix} [{bar:30}] {bytes:>11}/{total_bytes} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(short(digest).to_owned());
        bar.tick();
        if let Some(earlier) = locked(&self.layers).insert(digest.to_owned(), bar) {
            self.all.remove(&earlier);
        }
    }
    fn advance(&self, digest: &str, bytes: u64) {
        if let Some(bar) = locked(&self.layers).get(digest) {
            bar.inc(bytes);
        }
    }
    fn done(&self, digest: &str) {
        if let Some(bar) = locked(&self.layers).get(digest) {
            if let Some(total) = bar.length() {
                bar.set_position(total);
            }
            bar.finish_with_message("done");
        }
    }
    fn note(&self, message: &str) {
        self.all.suspend(|| terminal::note(message));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // The bars are cleared, so that only the command's own output stays on the screen.
        let _ = self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let shown: Vec<String> = [0, 999, 1000, 3_140_000, 99_950_000, 1_500_000_000, u64::MAX / 10]
            .into_iter()
            .map(size)
            .collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "3.1 MB", "100 MB", "1.5 GB", "1844674 TB"]);
    }

    #[test]
    fn each_layer_has_a_bar_that_ends_full() {
        let bars = Bars::new(ProgressDrawTarget::hidden());
        let (a, b) = ("sha256:a", "sha256:b");
        bars.layer(a, 4_000_000);
        bars.layer(b, 1000);
        bars.advance(a, 2_000_000);
        // A layer that was stored already: no byte of it is transferred.
        bars.done(b);
        let layers = locked(&bars.layers);
        assert_eq!((layers[a].position(), layers[a].is_finished()), (2_000_000, false));
        assert_eq!((layers[b].position(), layers[b].is_finished()), (1000, true));
    }
}
