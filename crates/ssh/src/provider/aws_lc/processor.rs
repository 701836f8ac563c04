//! Whether AES is fast here.

/// How fast AES is taken to be. It decides the default order of ciphers, never which of them work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AesSpeed {
    /// Ask the processor.
    Detect,
    /// As if it had instructions for AES and for GCM's multiplication.
    Fast,
    /// As if it had none.
    Slow,
}

/// The environment variable by which aws-lc is told what of the processor to use; none is known for
/// processors that are asked nothing here.
///
/// aws-lc reads it once and does not say by any safe call what came of it. This crate reads no
/// environment: who makes the provider reads it and gives it to [`AesSpeed::under_mask`].
pub const FEATURE_MASK: Option<&str> = if cfg!(target_arch = "x86_64") {
    Some("OPENSSL_ia32cap")
} else if cfg!(target_arch = "aarch64") {
    Some("OPENSSL_armcap")
} else {
    None
};

impl AesSpeed {
    /// Under a setting of [`FEATURE_MASK`]: [`Slow`](Self::Slow) where it takes the instructions
    /// away, otherwise [`Detect`](Self::Detect).
    ///
    /// `~N` takes the bits of N away, `|N` adds them, a plain N is all there is; N is decimal, or
    /// hexadecimal behind `0x` (aws-lc 5, `crypto/fipsmodule/cpucap/cpu_intel.c` and
    /// `cpu_aarch64_linux.c`). What is no number counts for nothing there and here.
    pub fn under_mask(setting: &str) -> Self {
        if leaves(setting, NEEDED) {
            Self::Detect
        } else {
            Self::Slow
        }
    }

    pub(super) fn is_fast(self) -> bool {
        match self {
            Self::Detect => has_instructions(),
            Self::Fast => true,
            Self::Slow => false,
        }
    }
}

/// Whether AES and the carry-less multiplication of GCM are instructions here.
fn has_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// Their bits in a setting.
const NEEDED: u64 = if cfg!(target_arch = "aarch64") {
    ARM_AES | ARM_PMULL
} else {
    X86_AES | X86_PCLMULQDQ
};
/// `OPENSSL_ia32cap` has ECX of CPUID leaf 1 in its upper half: bit 25 of that.
const X86_AES: u64 = 1 << 57;
/// Bit 1 of the same.
const X86_PCLMULQDQ: u64 = 1 << 33;
/// `ARMV8_AES` of aws-lc's `arm_arch.h`.
const ARM_AES: u64 = 1 << 2;
/// `ARMV8_PMULL` of the same.
const ARM_PMULL: u64 = 1 << 5;

/// Whether a setting leaves a processor that has the `needed` features all of them.
fn leaves(setting: &str, needed: u64) -> bool {
    let (how, number) = match setting.split_at_checked(1) {
        Some((how @ ("~" | "|"), number)) => (how, number),
        _ => ("", setting),
    };
    let Some(bits) = leading_number(number) else {
        return true;
    };
    match how {
        "~" => bits & needed == 0,
        "|" => true,
        _ => bits & needed == needed,
    }
}

/// The number at the head of a text, as C's `sscanf` reads it.
fn leading_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.find(|digit: char| !digit.is_digit(radix));
    let digits = end.map_or(Some(digits), |end| digits.get(..end))?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_masks_what_aws_lc_would_mask() {
        const NEEDED: u64 = X86_AES | X86_PCLMULQDQ;
        for (setting, left) in [
            ("", true),
            ("nonsense", true),
            ("~nonsense", true),
            ("~0x200000200000000", false),
            ("~0x200000000000000", false),
            ("~0x200000000:0", false),
            ("~8589934592", false),
            ("~0x1", true),
            ("~0x1:~0x200000200000000", true),
            ("|0x1", true),
            ("0x200000200000001", true),
            ("0x200000000000000", false),
            ("0", false),
            ("~0x", true),
            ("é", true),
        ] {
            assert_eq!(leaves(setting, NEEDED), left, "{setting:?}");
        }
        assert!(!leaves("~0x24", ARM_AES | ARM_PMULL));
        assert!(leaves("~0x12", ARM_AES | ARM_PMULL));
        assert_eq!(AesSpeed::under_mask("0"), AesSpeed::Slow);
        assert_eq!(AesSpeed::under_mask(""), AesSpeed::Detect);
    }
}
