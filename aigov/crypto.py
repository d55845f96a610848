"""Keys, keyed digests and sealing: the one door to `cryptography`.

Invariants:
* The root key never leaves `KeyRing`; everything else gets keys derived for one label (HKDF-SHA-256).
* No key is in a repr, an error or a pickle.
* A sealed value opens only under its key and its associated data, or not at all.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aigov.errors import AigovError, Location, PolicyError, Problem

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:  # before 48
    mldsa = None  # type: ignore[assignment]

ROOT_KEY = "root.key"
KEY_BYTES = 32
NONCE_BYTES = 12


class Unsealable(AigovError):
    """A sealed value that was altered, or sealed under another key or for another purpose."""

    code = "crypto.unsealable"


class KeyRing:
    """The keys of one policy: a root key, read once, and what is derived from it."""

    __slots__ = ("_root",)

    def __init__(self, root: bytes) -> None:
        if len(root) != KEY_BYTES:
            raise ValueError(f"a root key has {KEY_BYTES} bytes")
        self._root = root

    @classmethod
    def generate(cls) -> KeyRing:
        """A ring that lives in memory only, for tests and trials."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, folder: Path) -> KeyRing:
        """Read `folder/root.key` (64 hex digits, mode 0600). Raises PolicyError that names the fix."""
        path = folder / ROOT_KEY
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text, mode = "", 0
        problem = _key_problem(text, mode)
        if problem:
            what, fix = problem
            raise PolicyError(Problem(Location(str(path)), what, fix.format(folder=folder.parent)))
        return cls(bytes.fromhex(text))

    @staticmethod
    def create(folder: Path) -> bool:
        """Write a new root key unless one is there; True where one was written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(folder / ROOT_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return True

    def derive(self, label: str) -> bytes:
        """32 bytes for one purpose. The same label gives the same key in every process."""
        return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=b"aigov/1 " + label.encode()).derive(
            self._root
        )

    def __repr__(self) -> str:
        return "KeyRing()"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key ring is not to be copied out of its process")


def digest(data: bytes) -> str:
    """SHA-256 in hex: for policy folders and files, never for personal values."""
    return hashlib.sha256(data).hexdigest()


def keyed_digest(key: bytes, text: str) -> str:
    """HMAC-SHA-256 in hex over UTF-8 (lone surrogates included): equal texts match, nothing can be guessed."""
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def seal(key: bytes, content: bytes, context: bytes) -> bytes:
    """AES-256-GCM under a fresh nonce, bound to `context`. Returns nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The content that `seal` was given. Raises Unsealable for anything else."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        pass
    raise Unsealable("crypto.unsealable")


def public_ed25519(private: bytes) -> bytes:
    """The public key (32 bytes) of an Ed25519 private key, which is any 32 random bytes (RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def sign_ed25519(private: bytes, message: bytes) -> bytes:
    """An Ed25519 signature, 64 bytes. The same key and message always give the same."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of `public` signed `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Unsupported(AigovError):
    """A kind of key that this build of `cryptography` does not have."""

    code = "crypto.unsupported"


def public_mldsa44(private: bytes) -> bytes:
    """The public key (1,312 bytes) of an ML-DSA-44 private key, which is any 32 random bytes (FIPS 204).

    Raises Unsupported.
    """
    return _mldsa44(private).public_key().public_bytes_raw()


def sign_mldsa44(private: bytes, message: bytes) -> bytes:
    """An ML-DSA-44 signature, 2,420 bytes. Raises Unsupported."""
    return _mldsa44(private).sign(message)


def verify_mldsa44(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of `public` signed `message`. Raises Unsupported."""
    if mldsa is None:
        raise Unsupported("crypto.unsupported: ML-DSA-44 needs `cryptography` 48 or newer")
    try:
        mldsa.MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except UnsupportedAlgorithm:
        raise Unsupported("crypto.unsupported: this build of `cryptography` has no ML-DSA-44") from None
    except (InvalidSignature, ValueError):
        return False
    return True


def _mldsa44(private: bytes) -> mldsa.MLDSA44PrivateKey:
    if mldsa is None:
        raise Unsupported("crypto.unsupported: ML-DSA-44 needs `cryptography` 48 or newer")
    try:
        return mldsa.MLDSA44PrivateKey.from_seed_bytes(private)
    except UnsupportedAlgorithm:
        raise Unsupported("crypto.unsupported: this build of `cryptography` has no ML-DSA-44") from None


def _key_problem(text: str, mode: int) -> tuple[str, str] | None:
    """What is wrong with a key file, and the command that mends it."""
    if not mode:
        return "no readable key is there", "run `aigov init {folder}`, or pass `keys=` the folder that holds it"
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "the key can be read by others", "run `chmod 600` on it"
    try:
        whole = len(bytes.fromhex(text)) == KEY_BYTES
    except ValueError:
        whole = False
    return None if whole else ("the key is not 64 hex digits", "restore it; a new key opens nothing that is sealed")
