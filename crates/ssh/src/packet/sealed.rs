//! A packet that came, before and after its tag was found good: two types, so that no line of code
//! can take the one for the other.

use std::ops::Deref;

use zeroize::Zeroize as _;

use crate::block::Block;
use crate::provider::{CryptoError, Open};

/// A whole packet as it came, and the block that it will be opened into.
///
/// Neither can be read before `open` has found the tag good, whatever decryption has
/// written into the block by then:
///
/// ```compile_fail,E0608
/// fn peek(packet: adit_ssh::packet::Sealed<'_>) -> u8 {
///     packet[0]
/// }
/// ```
///
/// ```compile_fail,E0616
/// fn peek(packet: adit_ssh::packet::Sealed<'_>) -> adit_ssh::block::Block {
///     packet.into
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn peek(packet: adit_ssh::packet::Sealed<'_>) -> usize {
///     packet.iter().count()
/// }
/// ```
///
/// ```compile_fail,E0382
/// fn peek(packet: adit_ssh::packet::Sealed<'_>) -> usize {
///     drop(packet);
///     std::mem::size_of_val(&packet)
/// }
/// ```
///
/// The same with the other type is how it is meant:
///
/// ```
/// fn peek(packet: adit_ssh::packet::Opened) -> u8 {
///     packet[0]
/// }
///
/// fn count(packet: adit_ssh::packet::Opened) -> usize {
///     packet.iter().count()
/// }
/// ```
///
/// `tests/secret_types.rs` asks for each trait by name.
#[expect(
    missing_debug_implementations,
    reason = "an unauthenticated byte is not even shown"
)]
pub struct Sealed<'a> {
    bytes: &'a [u8],
    into: Block,
}

/// What was in a packet whose tag was good, or that had none because no keys were agreed: padding
/// length, payload and padding.
#[expect(
    missing_debug_implementations,
    reason = "what was encrypted is not for logs"
)]
pub struct Opened(Block);

impl<'a> Sealed<'a> {
    /// A whole packet, from its length field to its tag, of which `length` bytes stand between.
    pub(super) fn new(bytes: &'a [u8], length: usize, mut into: Block) -> Self {
        into.set_range(0, length);
        Self { bytes, into }
    }

    /// Opens it. Of a packet that was forged nothing is left.
    pub(super) fn open(
        mut self,
        opener: &mut dyn Open,
        sequence: u32,
    ) -> Result<Opened, CryptoError> {
        match opener.open(sequence, self.bytes, self.into.as_mut_slice()) {
            Ok(()) => Ok(Opened(self.into)),
            Err(error) => {
                // The block goes back to a pool.
                self.into.as_mut_slice().zeroize();
                Err(error)
            }
        }
    }

    /// Takes it as it is: no keys were agreed, and nothing vouches for anything.
    pub(super) fn take_plain(mut self) -> Opened {
        self.into
            .as_mut_slice()
            .copy_from_slice(self.bytes.get(4..).unwrap_or_default());
        Opened(self.into)
    }
}

impl Opened {
    /// The payload alone, in the block.
    pub(super) fn into_payload(self, padding: usize) -> Block {
        let Self(mut block) = self;
        let length = block.len();
        block.set_range(1, length.saturating_sub(padding));
        block
    }
}

impl Deref for Opened {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}
