//! Every limit of the engine, by name. `docs/reference/limits.md` is made from this file.
//!
//! Where a connection goes over one of them it is refused or disconnected, never waited for.

use std::time::Duration;

/// Longest identification line in bytes, CR LF included (RFC 4253 section 4.2).
pub const IDENT_LINE: usize = 255;
/// Most bytes a server may send before its identification line.
pub const PRE_IDENT_BYTES: usize = 65_536;
/// Most lines a server may send before its identification line (OpenSSH's `SSH_MAX_PRE_BANNER_LINES`).
pub const PRE_IDENT_LINES: usize = 1_024;
/// Largest `packet_length` accepted (RFC 4253 section 6.1 asks for at least 35,000 in all).
pub const PACKET_LENGTH: u32 = 35_000;
/// Largest channel data we announce and send in one packet, in bytes.
pub const CHANNEL_PACKET: u32 = 32_768;
/// Smallest maximum packet size accepted from a peer when a channel opens, in bytes.
pub const CHANNEL_PACKET_MIN: u32 = 256;
/// Longest multiple precision integer on the wire, in bytes (8,192 bits and a sign byte).
pub const MPINT: usize = 1_025;
/// Longest public key, certificate or signature blob, in bytes.
pub const KEY_BLOB: usize = 16_384;
/// Longest user name, method, service, host or other short text, in bytes.
pub const TEXT: usize = 255;
/// Longest Unix socket path, in bytes (`sun_path` without its NUL).
pub const SOCKET_PATH: usize = 107;
/// From the first byte to the first NEWKEYS both ways.
pub const KEX_DEADLINE: Duration = Duration::from_secs(15);
/// From the first byte to a successful login.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(120);
/// From a rekey's first KEXINIT to its last NEWKEYS.
pub const REKEY_DEADLINE: Duration = Duration::from_secs(60);
/// Most bytes received before login.
pub const PREAUTH_BYTES: u64 = 524_288;
/// Most packets received before login.
pub const PREAUTH_PACKETS: u64 = 2_048;
/// Largest KEXINIT, in bytes.
pub const KEXINIT_BYTES: usize = 32_768;
/// Most names in one of KEXINIT's lists.
pub const KEXINIT_NAMES: usize = 256;
/// Longest algorithm name, in bytes (RFC 4251 section 6).
pub const NAME: usize = 64;
/// Most entries in an EXT_INFO.
pub const EXT_INFO_ENTRIES: u32 = 64;
/// Largest EXT_INFO, in bytes.
pub const EXT_INFO_BYTES: usize = 16_384;
/// Bytes under one key, either way, that pay for a peer's key exchange: it computes as much as we do. A quarter of
/// what OpenSSH sends between two with `RekeyLimit 1M` (measured with 9.2 and 10.0, 2026-11-22). Fewer pay a part.
pub const REKEY_EARNED: u64 = 131_072;
/// Key exchanges of a peer that are answered at once though nothing has paid for them.
pub const REKEY_BURST: u32 = 64;
/// After that one is paid for by each such time, and answered no sooner: 20 a second are half a percent of a core,
/// and what OpenSSH needs that renews its keys before every packet (`RekeyLimit` below 1M, 9.2 and 10.0).
pub const REKEY_REFILL: Duration = Duration::from_millis(50);
/// Bytes in one direction after which we rekey chacha20-poly1305 (2^27 blocks of 8, OpenSSH's rule).
pub const REKEY_BYTES_CHACHA: u64 = 1 << 30;
/// Bytes in one direction after which we rekey AES (2^32 blocks of 16, RFC 4344 section 3.2).
pub const REKEY_BYTES_AES: u64 = 1 << 36;
/// Lowest rekey volume a configuration may ask for.
pub const REKEY_BYTES_MIN: u64 = 65_536;
/// Packets in one direction after which we rekey (RFC 4344 section 3.1).
pub const REKEY_PACKETS: u64 = 1 << 31;
/// Packets under one key in one direction at which the connection ends: a sequence number, and
/// with it a chacha20 nonce, must never come twice.
pub const PACKETS_HARD: u64 = (1 << 32) - (1 << 16);
/// Age of keys after which we rekey (RFC 4253 section 9).
pub const REKEY_AGE: Duration = Duration::from_secs(3_600);
/// Public key queries answered before login fails.
pub const AUTH_QUERIES: u32 = 20;
/// Failed attempts before login fails (OpenSSH's `MaxAuthTries`).
pub const AUTH_FAILURES: u32 = 6;
/// Authentication requests of any kind before login fails.
pub const AUTH_REQUESTS: u32 = 64;
/// Login messages of a client that may wait while one before them is being decided (RFC 4252
/// section 5.1 lets a client send several without waiting; few do, and none more than two).
pub const AUTH_QUEUE: usize = 8;
/// Longest list of methods in a refused login, in bytes.
pub const AUTH_METHOD_LIST: usize = 4_096;
/// Most prompts in one keyboard-interactive round.
pub const KBDINT_PROMPTS: u32 = 8;
/// Most keyboard-interactive rounds.
pub const KBDINT_ROUNDS: u32 = 8;
/// Longest keyboard-interactive text, in bytes.
pub const KBDINT_TEXT: usize = 1_024;
/// Longest password, in bytes.
pub const PASSWORD: usize = 1_024;
/// Most banners a server may send.
pub const BANNERS: u32 = 32;
/// Most bytes of banners a server may send.
pub const BANNER_BYTES: usize = 16_384;
/// Least delay of a failed login, as OpenSSH's.
pub const AUTH_DELAY: Duration = Duration::from_millis(5);
/// Most of the further delay that depends on the user name, in microseconds.
pub const AUTH_DELAY_SPREAD_MICROS: u64 = 4_200;
/// Channels a connection may have by default.
pub const CHANNELS: usize = 1_024;
/// Channels a connection may have by any configuration.
pub const CHANNELS_HARD: usize = 4_096;
/// Session channels a connection may have (OpenSSH's `MaxSessions`).
pub const SESSIONS: usize = 10;
/// Channels of one connection that may be half open.
pub const OPENS_PENDING: usize = 256;
/// Forwards a connection may have by default.
pub const FORWARDS: usize = 256;
/// Global requests of one connection that may await an answer (docs/decision/0005).
pub const GLOBAL_REQUESTS_PENDING: usize = 1_024;
/// Bytes of control messages owed to a peer at which its socket is not read any more.
pub const CONTROL_QUEUE_BYTES: usize = 262_144;
/// How long a peer may leave a full control queue untouched.
pub const CONTROL_QUEUE_STALL: Duration = Duration::from_secs(60);
/// Longest ping, in bytes.
pub const PING_BYTES: usize = 1_024;
/// Replies to nothing that are ignored before they are an error.
pub const STRAY_REPLIES: u32 = 100;
/// Messages for channels closed lately that are ignored before they are an error.
pub const STRAY_CHANNEL_MESSAGES: u32 = 1_000;
/// Empty data packets in a row that are ignored before they are an error.
pub const EMPTY_DATA: u32 = 1_000;
/// Largest number we give a channel: none is used again before all the others.
pub const CHANNEL_NUMBER: u32 = (1 << 31) - 1;
/// Smallest window a channel starts with, in bytes.
pub const WINDOW_MIN: u32 = 65_536;
/// Largest window a channel starts with, in bytes (OpenSSH's `CHAN_TCP_WINDOW_DEFAULT`).
pub const WINDOW_START: u32 = 2_097_152;
/// Least round trip at which a window grows over [`WINDOW_START`]. Below it that window carries over
/// 3 Gbit/s, and a larger one only fills the peer's memory: a stock sshd behind 8 MiB on loopback
/// spends 3 to 7 CPU-s a GiB moving what waits there (measured 2026-11-22), 1.2 behind 2 MiB.
pub const WINDOW_GROWTH_ROUND_TRIP: Duration = Duration::from_millis(5);
/// Least that a channel may have in flight towards a near peer, in bytes, whatever its round trip: below
/// it the two ends no longer work at the same time (docs/decision/0008, measured 2026-11-22).
pub const FLIGHT_MIN: u64 = 262_144;
/// Bytes that a channel may have in flight towards a near peer for each microsecond of the least round
/// trip: 20 Gbit/s, more than one core encrypts.
pub const FLIGHT_RATE: u64 = 2_500;
/// How long a channel that has its most in flight waits for credit before only the window counts.
pub const FLIGHT_STALL: Duration = Duration::from_millis(50);
/// Largest window towards a stock peer: above it sshd burns CPU (spec of 2026-11-21: 14 times at 32 MiB).
pub const WINDOW_STOCK: u32 = 8_388_608;
/// Largest window between our own ends.
pub const WINDOW_OWN: u32 = 33_554_432;
/// What the scheduler charges at least for a packet, in bytes.
pub const PACKET_CHARGE: u32 = 256;
/// How long what a closed channel still holds may wait for its reader to take some of it.
pub const CLOSE_LINGER: Duration = Duration::from_secs(30);
/// Host keys a server may announce by hostkeys-00.
pub const HOSTKEYS: usize = 16;
/// Proofs of host keys that a server signs in one connection.
pub const HOSTKEYS_PROVE: usize = 8;
/// Largest ssh-agent message, in bytes (OpenSSH's `MAX_AGENT_REPLY_LEN`).
pub const AGENT_FRAME: usize = 262_144;
/// Most identities an ssh-agent may list.
pub const AGENT_IDENTITIES: u32 = 2_048;
/// Largest private key file, in bytes.
pub const KEY_FILE: usize = 65_536;
/// Most bcrypt rounds of an encrypted key file.
pub const KEY_FILE_BCRYPT_ROUNDS: u32 = 2_048;
/// Most memory of argon2 for a PuTTY key file, in KiB: 256 MiB.
pub const KEY_FILE_ARGON2_KIB: u32 = 262_144;
/// Most passes of argon2 for a PuTTY key file.
pub const KEY_FILE_ARGON2_PASSES: u32 = 64;
/// Most lanes of argon2 for a PuTTY key file.
pub const KEY_FILE_ARGON2_LANES: u32 = 16;
/// Most PBKDF2 iterations of an encrypted PKCS #8 file (OpenSSL 3 writes 2,048).
pub const KEY_FILE_PBKDF2_ITERATIONS: u32 = 10_000_000;
/// Most memory of scrypt for an encrypted PKCS #8 file, in bytes: 256 MiB.
pub const KEY_FILE_SCRYPT_BYTES: u64 = 268_435_456;
/// Most parallelism of scrypt for an encrypted PKCS #8 file.
pub const KEY_FILE_SCRYPT_LANES: u16 = 16;
/// Most principals in a certificate.
pub const CERTIFICATE_PRINCIPALS: usize = 256;
/// Most critical options or extensions in a certificate.
pub const CERTIFICATE_OPTIONS: usize = 32;
/// Longest disconnect text we send, in bytes.
pub const DISCONNECT_TEXT: usize = 255;
/// Longest disconnect text we read, in bytes.
pub const DISCONNECT_TEXT_READ: usize = 1_024;
/// Longest pty mode string that is skipped, in bytes.
pub const PTY_MODES: usize = 1_024;
/// Environment requests of one session that are ignored before they are refused.
pub const ENVIRONMENT_REQUESTS: u32 = 64;
