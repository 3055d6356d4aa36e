//! Operators' passwords: argon2id.

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};

use super::Error;

/// Hashes a password: argon2id with 19 MiB, two passes, one lane (the OWASP figures), and a salt of its own. Takes some
/// 20 ms and 19 MiB: call it in `spawn_blocking`, behind a semaphore.
///
/// # Errors
/// [`Error::PasswordHash`] for a password over 4 GiB or where the system has no random numbers.
pub fn hash_password(password: &str) -> Result<String, Error> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| Error::PasswordHash)?;
    Ok(hash.to_string())
}

/// Whether a password belongs to a hash of [`hash_password`]. As slow as that one; compares in constant time.
#[must_use]
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_verifies() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("correct horsf", &hash));
        assert!(!verify_password("", &hash));
        assert!(!verify_password("correct horse", "not a hash"));
        assert_ne!(hash, hash_password("correct horse").unwrap());
    }
}
