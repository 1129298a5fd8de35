//! Address size codes of IDR5.OAS, CD.IPS and STE.S2PS.

use crate::{Features, Granule};

/// Bits of the largest physical address of SMMUv3.3. Address bits 55:52 of registers and
/// structures are RES0 there and ignored by the decoders.
pub const PA_BITS_MAX: u8 = 52;

/// The low `PA_BITS_MAX` bits.
pub(crate) const PA_MASK: u64 = (1 << PA_BITS_MAX) - 1;

/// Bits of the address size `code` (0 to 7; higher bits are ignored): 32, 36, 40, 42, 44, 48, 52.
/// Code 7 is 56, larger than any IDR5.OAS here, so that the smaller of both is the OAS.
#[must_use]
pub const fn address_size_bits(code: u8) -> u8 {
    [32, 36, 40, 42, 44, 48, 52, 56][(code & 7) as usize]
}

/// Effective output size in bits of a stage whose size code is `code` in an SMMU whose OAS is
/// `oas_bits`. Section "Input address size and output address size".
#[must_use]
pub fn output_size_bits(code: u8, oas_bits: u8) -> u8 {
    address_size_bits(code).min(oas_bits)
}

/// Effective output bits of a stage with the tables and size code of a CD or STE. `ds` is whether
/// CD.DS or STE.S2DS counts.
pub(crate) fn stage_output_bits(
    aa64: bool,
    granule: Option<Granule>,
    ds: bool,
    code: u8,
    features: &Features,
) -> u8 {
    let oas_bits = features.oas_bits;
    match (aa64, granule) {
        (false, _) => oas_bits.min(40),
        (true, Some(granule)) if granule == Granule::K64 || ds => output_size_bits(code, oas_bits),
        (true, _) => output_size_bits(code, oas_bits).min(48),
    }
}

/// Whether `address` has a bit at or above `bits`.
pub(crate) const fn exceeds(address: u64, bits: u8) -> bool {
    bits < 64 && address >> bits != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_code_and_oas_counts() {
        assert_eq!(output_size_bits(5, 44), 44);
        assert_eq!(output_size_bits(2, 44), 40);
        assert_eq!(output_size_bits(7, 44), 44);
        assert!(exceeds(1 << 44, 44) && !exceeds((1 << 44) - 1, 44));
    }
}
