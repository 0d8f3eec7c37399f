//! Loss of power at random moments, again and again.

use super::*;

fn run(seed: u64, lives: u64, steps: u64) {
    let disk = MemStorage::new();
    let mut model = Model::new(seed);
    for life in 0..lives {
        model.open(&disk);
        for _ in 0..model.rng.up_to(steps) {
            model.step(&disk);
        }
        // Now and then only the process dies.
        if model.rng.up_to(3) > 0 {
            disk.crash(seed * 1000 + life);
        }
        model.journal = None;
    }
}

#[test]
fn what_was_durable_is_there_after_any_crash() {
    for seed in 0..100 {
        run(seed, 12, 60);
    }
}

#[test]
fn long_lives_go_through_many_segments() {
    for seed in 0..6 {
        run(seed, 4, 1200);
    }
}
