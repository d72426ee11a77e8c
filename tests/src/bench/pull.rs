//! Pull and unpack of a big image from a registry on loopback.

use std::collections::VecDeque;

use serde_json::json;
use tests::image::{Entry, tar};
use tests::registry::{Layer, Registry};

use crate::Bench;
use crate::engine::Trees;
use crate::report::{Row, Target, Unit};

const LAYERS: usize = 8;

/// Measures an image of eight layers, 500 MB when unpacked, which gzip compresses to about half.
pub fn all(bench: &Bench) -> Vec<Row> {
    let megabytes = if bench.options.quick { 64 } else { 500 };
    let trees = Trees::new("registry");
    let registry = Registry::start(trees.disk.path());
    let tars: Vec<_> = (0..LAYERS).map(|n| layer(n, megabytes * 1_000_000 / LAYERS)).collect();
    let layers = std::thread::scope(|scope| {
        let mut waiting: VecDeque<_> = tars.into_iter().map(|tar| scope.spawn(|| Layer::gzip(tar))).collect();
        let mut layers = Vec::new();
        while let Some(packed) = waiting.pop_front() {
            layers.push(packed.join().unwrap());
        }
        layers
    });
    let size = layers.iter().map(|l| l.blob.len()).sum::<usize>() as f64 / 1e6;
    eprintln!("  {megabytes} MB in {LAYERS} layers, {size:.0} MB as they travel");
    registry.push("bench/big", "1", &layers, &json!({"Cmd": ["sh"]}));
    drop(layers);
    let name = format!("{}:1", registry.name("bench/big"));
    let mut samples = <[Vec<f64>; 2]>::default();
    let runs = if bench.options.quick { 1 } else { 3 };
    for _ in 0..runs {
        for engine in bench.engines() {
            // Data of the previous run that is not yet written must not count for this one.
            rustix::fs::sync();
            let took =
                engine.time_command(&mut engine.command_on_host(&engine.pull_arguments(&name))).as_secs_f64()
                    * 1e3;
            engine.time(&engine.remove_image_arguments(&name));
            samples[engine.index()].push(took);
        }
    }
    let what = format!("pull and unpack, {megabytes} MB in {LAYERS} layers, loopback registry");
    vec![Row::new(&what, Unit::Milliseconds, Target::BelowPodman(0.5), samples)]
}

/// Returns a layer of files of 4 kB to 1 MB, half of each block random, from a fixed seed.
fn layer(number: usize, size: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
    let mut files = Vec::new();
    let mut total = 0;
    while total < size {
        let length = (4096 << (random.next() % 9)) - (random.next() % 4096) as usize;
        let mut contents = Vec::with_capacity(length);
        while contents.len() < length {
            for _ in 0..32 {
                contents.extend_from_slice(&random.next().to_le_bytes());
            }
            contents.extend_from_slice(&[b"static int answer(void) { return 42; }\n".as_slice(); 6].concat());
        }
        contents.truncate(length);
        total += length;
        files.push((format!("l{number}/d{}/f{}", files.len() % 32, files.len()), contents));
    }
    let mut entries = vec![format!("l{number}")];
    entries.extend((0..32).map(|d| format!("l{number}/d{d}")));
    let mut all: Vec<Entry<'_>> = entries.iter().map(|path| Entry::Dir(path, 0o755)).collect();
    all.extend(files.iter().map(|(path, contents)| Entry::File(path, 0o644, contents)));
    tar(&all)
}

/// The random number generator xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
