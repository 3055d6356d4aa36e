//! Makes inputs: valid samples, spoilt in many ways. Seeded, so that a case can be had again.

use std::{num::NonZero, thread};

/// Cases of each kind.
pub const CASES: u64 = 1_000_000;

/// Longest input: more than any border takes.
const MOST_BYTES: usize = 8_192;

/// Changes that are made to a sample, at most.
const MOST_CHANGES: u64 = 6;

/// Another one gives other cases.
const SEED: &str = "FUZZ_SEED";

/// Numbers that look random (xorshift64*).
pub struct Generator(u64);

impl Generator {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        // A seed of zero would stay zero, and neighbouring seeds begin alike.
        let mut this = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            this.next();
        }
        this
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// One of some.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// Spoils an input: turns bits, cuts, repeats, mixes with other samples and with words that mean something.
    pub fn spoil(&mut self, input: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&[u8]]) {
        for _ in 0..self.next() % (MOST_CHANGES + 1) {
            let at = self.below(input.len() + 1);
            let some = (at + self.below(24)).min(input.len());
            match self.below(9) {
                0 if at < input.len() => input[at] ^= 1 << self.below(8),
                1 if at < input.len() => input[at] = self.byte(),
                2 if at < input.len() => {
                    input[at] = *self.pick(&[0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff, b'\n', b' '])
                }
                3 => drop(input.drain(at..some)),
                4 => {
                    let again = input[at..some].to_vec();
                    input.splice(at..at, again);
                }
                5 => {
                    let count = self.below(16);
                    let noise: Vec<u8> = (0..count).map(|_| self.byte()).collect();
                    input.splice(at..at, noise);
                }
                6 => {
                    let word = self.pick(words).to_vec();
                    input.splice(at..at, word);
                }
                7 => {
                    let other = self.pick(samples).clone();
                    let from = self.below(other.len() + 1);
                    input.splice(at..some, other[from..].iter().copied());
                }
                8 => input.truncate(at),
                _ => {}
            }
        }
        input.truncate(MOST_BYTES);
    }
}

/// Shows the input of a case that panics.
struct Witness<'a>(u64, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("case {}: {:?}", self.0, String::from_utf8_lossy(self.1));
            eprintln!("as bytes: {:?}", self.1);
        }
    }
}

/// Runs `case` with a million inputs, on all processors. It is given numbers of its own too.
pub fn cases(samples: &[Vec<u8>], words: &[&[u8]], case: impl Fn(&[u8], &mut Generator) + Sync) {
    let seed: u64 = std::env::var(SEED).map_or(0, |text| text.parse().expect("a number"));
    let threads = u64::try_from(thread::available_parallelism().map_or(1, NonZero::get)).unwrap();
    thread::scope(|scope| {
        for first in 0..threads {
            let case = &case;
            scope.spawn(move || {
                let mut input = Vec::new();
                for number in (first..CASES).step_by(usize::try_from(threads).unwrap()) {
                    let mut generator = Generator::new(seed.wrapping_mul(CASES).wrapping_add(number));
                    input.clone_from(generator.pick(samples));
                    generator.spoil(&mut input, samples, words);
                    let _witness = Witness(number, &input);
                    case(&input, &mut generator);
                }
            });
        }
    });
}

#[test]
fn a_seed_gives_the_same_case_and_another_seed_another() {
    let make = |seed| {
        let mut generator = Generator::new(seed);
        let sample = b"a sample of forty bytes, or nearly so ...".to_vec();
        let mut input = sample.clone();
        generator.spoil(&mut input, &[sample], &[b"word"]);
        (input, generator.next())
    };
    assert_eq!(make(7), make(7));
    let different: std::collections::BTreeSet<_> = (0..1_000).map(make).collect();
    assert!(different.len() > 990, "{}", different.len());
}

#[test]
#[should_panic = "scoped thread panicked"]
fn a_case_that_panics_is_a_failure() {
    cases(&[b"sample".to_vec()], &[b"word"], |input, _| assert!(!input.starts_with(b"word"), "found"));
}
