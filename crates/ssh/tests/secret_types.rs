//! What types with secrets cannot do, asked of the compiler: print themselves, be copied about, or
//! give bytes before their tag was found good.
//!
//! An example that must not compile says little about why it does not, and stable rustdoc does not
//! look at the error's number. Here everything compiles, and the question is the very trait.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "of each probe only the constant that answers is used"
)]

use std::borrow::Borrow;
use std::fmt::{Debug, Display, LowerHex, UpperHex};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut, RangeFull};

use adit_ssh::block::Block;
use adit_ssh::packet::{Opened, Sealed};
use adit_ssh::secret::Secret;

/// Whether a type has a trait: an inherent constant, where its bound holds, goes before that of a
/// trait.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        struct Probe<T: ?Sized>(PhantomData<T>);
        trait Lacks {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Lacks for Probe<T> {}
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HAS: bool = true;
        }
        Probe::<$type>::HAS
    }};
}

/// The traits of a list that a type has, by their names.
macro_rules! which {
    ($type:ty: $($bound:path),+ $(,)?) => {{
        let all = [$((stringify!($bound), has!($type: $bound))),+];
        all.into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _): (&str, bool)| name.replace(' ', ""))
            .collect::<Vec<String>>()
    }};
}

/// All ways to print something.
macro_rules! printers {
    ($type:ty) => {
        which!($type: Debug, Display, LowerHex, UpperHex, ToString)
    };
}

/// All ways to a value's bytes that need no call by name, and all to have it twice.
macro_rules! leaks {
    ($type:ty) => {
        which!(
            $type: Clone,
            Copy,
            Default,
            Deref<Target = [u8]>,
            Deref<Target = Block>,
            DerefMut,
            AsRef<[u8]>,
            AsMut<[u8]>,
            Borrow<[u8]>,
            Index<usize>,
            IndexMut<usize>,
            Index<RangeFull>,
            IntoIterator,
            Into<Vec<u8>>,
            Into<Block>,
            PartialEq,
            std::hash::Hash,
        )
    };
}

#[test]
fn the_question_finds_what_is_there() {
    assert_eq!(printers!(String), ["Debug", "Display", "ToString"]);
    assert_eq!(printers!(u8).len(), 5);
    assert_eq!(
        leaks!(Vec<u8>),
        [
            "Clone",
            "Default",
            "Deref<Target=[u8]>",
            "DerefMut",
            "AsRef<[u8]>",
            "AsMut<[u8]>",
            "Borrow<[u8]>",
            "Index<usize>",
            "IndexMut<usize>",
            "Index<RangeFull>",
            "IntoIterator",
            "Into<Vec<u8>>",
            "PartialEq",
            "std::hash::Hash",
        ]
    );
}

#[test]
fn a_secret_can_be_neither_printed_nor_copied() {
    let none: [&str; 0] = [];
    assert_eq!(printers!(Secret<String>), none);
    assert_eq!(printers!(Secret<Vec<u8>>), none);
    assert_eq!(printers!(Secret<[u8; 32]>), none);
    assert_eq!(printers!(&Secret<String>), none);
    assert_eq!(printers!(Option<Secret<String>>), none);
    assert_eq!(leaks!(Secret<String>), none);
    assert_eq!(leaks!(Secret<Vec<u8>>), none);
    assert_eq!(leaks!(Secret<[u8; 32]>), none);
}

#[test]
fn a_sealed_packet_gives_no_byte_and_an_opened_one_its_bytes() {
    let none: [&str; 0] = [];
    assert_eq!(printers!(Sealed<'static>), none);
    assert_eq!(leaks!(Sealed<'static>), none);
    assert_eq!(printers!(Opened), none);
    assert_eq!(leaks!(Opened), ["Deref<Target=[u8]>"]);
}
