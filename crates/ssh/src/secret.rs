//! Bytes that must not be seen: wiped when dropped, without `Debug`, `Display`, `Clone` or a
//! serialiser. [`Secret::expose`] is the one way to the bytes, and easy to search for.

use zeroize::Zeroize;

/// A secret value, wiped from memory when dropped.
///
/// ```compile_fail,E0277
/// let secret = adit_ssh::secret::Secret::new(vec![1_u8]);
/// println!("{secret:?}");
/// ```
///
/// ```
/// let secret = adit_ssh::secret::Secret::new(vec![1_u8]);
/// println!("{} byte", secret.expose().len());
/// ```
#[expect(
    missing_debug_implementations,
    reason = "a secret shows nothing, not even that it is one"
)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes the value over. The caller's own copies stay the caller's to wipe.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Never log it, never put it into an error.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, to be filled in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
