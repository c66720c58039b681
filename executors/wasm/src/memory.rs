//! Memory: its bounds, over all programs that a transaction has open, and what it costs.
//!
//! The model is Stylus'. Pages that are open cost a linear price, of which two pages are free; what
//! goes beyond the most that the transaction ever had open costs an exponential price as well, so
//! that memory given back and taken again is paid once.

use wasmtime::ResourceLimiter;

use crate::{MAX_MEMORY_PAGES, current::with_host, host::Stop, meter::FUEL_PER_GAS};

/// Gas per 64 KiB page of memory beyond [`FREE_MEMORY_PAGES`], without the exponential part.
pub const MEMORY_PAGE_GAS: u64 = 1_000;

/// Pages of memory that cost nothing, over all programs that are open.
pub const FREE_MEMORY_PAGES: u64 = 2;

/// Bytes in a page of WebAssembly memory.
pub(crate) const PAGE_BYTES: usize = 64 * 1024;

/// The exponential part of the price of this many pages, in gas: the powers of the 128th root of
/// 31,874,000, rounded down, so that all memory there may be costs 32 million gas.
const EXPONENTIAL_GAS: [u64; MAX_MEMORY_PAGES as usize + 1] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 11, 12, 14, 17, 19, 22, 25, 29, 33, 38,
    43, 50, 57, 65, 75, 85, 98, 112, 128, 147, 168, 193, 221, 253, 289, 331, 379, 434, 497, 569,
    651, 745, 853, 976, 1_117, 1_279, 1_463, 1_675, 1_917, 2_194, 2_511, 2_874, 3_290, 3_765,
    4_309, 4_932, 5_645, 6_461, 7_395, 8_464, 9_687, 11_087, 12_689, 14_523, 16_621, 19_024,
    21_773, 24_919, 28_521, 32_642, 37_359, 42_758, 48_938, 56_010, 64_104, 73_368, 83_971, 96_106,
    109_994, 125_890, 144_082, 164_904, 188_735, 216_010, 247_226, 282_953, 323_844, 370_643,
    424_206, 485_509, 555_672, 635_973, 727_880, 833_067, 953_456, 1_091_243, 1_248_941, 1_429_429,
    1_636_000, 1_872_423, 2_143_012, 2_452_704, 2_807_151, 3_212_820, 3_677_113, 4_208_502,
    4_816_684, 5_512_756, 6_309_419, 7_221_210, 8_264_766, 9_459_129, 10_826_093, 12_390_601,
    14_181_199, 16_230_562, 18_576_084, 21_260_563, 24_332_984, 27_849_408, 31_873_999,
];

/// Pages that programs of the transaction have open now, and the most that they ever had.
type Shared = [u64; 2];

/// Gas of opening `new` pages; `None` when there would be more than there may be.
fn page_gas(new: u64, [open, ever]: Shared) -> Option<u64> {
    let open_after = open.checked_add(new)?;
    let ever_after = ever.max(open_after);
    let exponential = exponential_gas(ever_after)?.checked_sub(exponential_gas(ever)?)?;
    let paid = |pages: u64| pages.saturating_sub(FREE_MEMORY_PAGES);
    let linear = MEMORY_PAGE_GAS * (paid(open_after) - paid(open));
    Some(linear + exponential)
}

fn exponential_gas(pages: u64) -> Option<u64> {
    let index = usize::try_from(pages).ok()?;
    EXPONENTIAL_GAS.get(index).copied()
}

/// Opens pages and says the gas; `None`, without opening them, when there would be too many.
pub(crate) fn open_pages(new: u64, shared: &mut Shared) -> Option<u64> {
    let gas = page_gas(new, *shared)?;
    let [open, ever] = shared;
    *open += new;
    *ever = (*ever).max(*open);
    Some(gas)
}

/// Bounds a program's memory and keeps the account of what growing it costs.
///
/// wasmtime asks for a growth where fuel cannot be reached. So a growth is only granted against
/// the gas that was left when the account was last settled, and it is paid at the next host call
/// or at the program's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryGrowth {
    pages: u64,
    owed_gas: u64,
    gas_when_settled: u64,
}

impl MemoryGrowth {
    /// Memory of `pages` pages that are paid for, with `gas` left.
    pub(crate) fn new(pages: u64, gas: u64) -> Self {
        Self {
            pages,
            owed_gas: 0,
            gas_when_settled: gas,
        }
    }

    /// Fuel owed for growth.
    pub(crate) fn owed_fuel(&self) -> u64 {
        self.owed_gas.saturating_mul(FUEL_PER_GAS)
    }

    /// Notes that what was owed is paid and that `gas` is left.
    pub(crate) fn settled(&mut self, gas: u64) {
        self.owed_gas = 0;
        self.gas_when_settled = gas;
    }
}

impl ResourceLimiter for MemoryGrowth {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let pages = desired.div_ceil(PAGE_BYTES) as u64;
        if pages > MAX_MEMORY_PAGES || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if pages > self.pages {
            let added = pages - self.pages;
            let Some(gas) = with_host(|host| open_pages(added, host.shared())) else {
                return Ok(false);
            };
            self.owed_gas = self.owed_gas.saturating_add(gas);
            if self.owed_gas > self.gas_when_settled {
                return Err(Stop::OutOfGas.into());
            }
            self.pages = pages;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The size that a table begins with was checked with the module; the instruction that
        // grows one is not allowed.
        Ok(current == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_part_is_what_it_says() {
        // The root taken of a little less than the whole: its 128th power is rounded down too.
        let root = 31_873_999.9999_f64;
        for (pages, gas) in EXPONENTIAL_GAS.iter().enumerate() {
            let power = root.powf(pages as f64 / MAX_MEMORY_PAGES as f64);
            assert_eq!(*gas, power.floor() as u64, "{pages} pages");
        }
        assert_eq!(EXPONENTIAL_GAS[10], 3);
        assert_eq!(EXPONENTIAL_GAS[64], 5_645);
        assert_eq!(EXPONENTIAL_GAS[128], 31_873_999);
    }

    #[test]
    fn all_memory_costs_32_million_and_no_more_can_be_had() {
        let mut shared = [0, 0];
        assert_eq!(open_pages(128, &mut shared), Some(126_000 + 31_873_998));
        assert_eq!(shared, [128, 128]);
        assert_eq!(open_pages(1, &mut shared), None);
        assert_eq!(shared, [128, 128]);
    }

    #[test]
    fn the_exponential_part_is_paid_once() {
        let mut shared = [0, 0];
        assert_eq!(open_pages(2, &mut shared), Some(0));
        assert_eq!(open_pages(62, &mut shared), Some(62_000 + 5_644));
        shared[0] = 2;
        assert_eq!(open_pages(62, &mut shared), Some(62_000));
        assert_eq!(open_pages(1, &mut shared), Some(1_000 + 6_461 - 5_645));
    }

    #[test]
    fn growth_in_steps_costs_what_growth_at_once_costs() {
        let mut at_once = [0, 0];
        let whole = open_pages(90, &mut at_once).unwrap();
        let mut in_steps = [0, 0];
        let sum: u64 = (0..90).map(|_| open_pages(1, &mut in_steps).unwrap()).sum();
        assert_eq!(sum, whole);
    }
}
