//! Numbers for the random steps.

/// Numbers from a seed (splitmix64): the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }
    pub fn small(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(usize::from(end))).expect("below a byte")
    }
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.next() % high.abs_diff(low)).expect("a narrow range")
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }
    pub fn pick_from<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        if among.is_empty() { None } else { Some(self.pick(among)) }
    }
    /// Units that are small mostly, and at the ends of the range now and then.
    pub fn nonsense(&mut self) -> i64 {
        match self.below(5) {
            0 => {
                let any = i64::from_le_bytes(self.next().to_le_bytes());
                self.pick(&[0, 1, -1, i64::MAX, i64::MIN, any])
            }
            _ => self.within(-1_000_000_000, 1_000_000_000),
        }
    }
}
