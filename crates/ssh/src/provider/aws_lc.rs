//! The provider over aws-lc-rs.
