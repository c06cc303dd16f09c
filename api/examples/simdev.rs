fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let trace = std::env::var("TRACE").is_ok();
    let t = std::time::Instant::now();
    let (mut n, mut bad, mut v, mut d, mut a) = (0u64, 0, 0u64, 0u64, 0u64);
    let mut cov = api::sim::faults::Coverage::default();
    for seed in args[0]..args[1] {
        let t1 = std::time::Instant::now();
        let o = api::sim::run(seed, &api::sim::Overrides::default(), trace);
        for l in &o.trace {
            println!("{l}");
        }
        n += 1;
        v += o.virtual_ns;
        d += o.decisions;
        a += o.answers;
        cov.add(&o.coverage);
        if std::env::var("V").is_ok() {
            println!(
                "seed {seed} {:?} virt {} s, {} decisions {} answers {} lives {:x}",
                t1.elapsed(),
                o.virtual_ns / 1_000_000_000,
                o.decisions,
                o.answers,
                o.lives,
                o.digest
            );
        }
        if let Some(x) = o.violation {
            bad += 1;
            println!("seed {seed}: {}", x.chars().take(600).collect::<String>());
        }
    }
    println!(
        "{n} seeds, {bad} bad, {:?} each, {} virtual s each, {} decisions, {} answers",
        t.elapsed() / n as u32,
        v / n / 1_000_000_000,
        d / n,
        a / n
    );
    if std::env::var("MISSING").is_ok() {
        for (f, s) in cov.missing() {
            println!("missing {} in {}", f.name(), s.name());
        }
    }
}
