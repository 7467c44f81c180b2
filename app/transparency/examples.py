"""Examples of receipts and proofs in the OpenAPI document."""

from app.web.openapi import Example

LEAF = "5d9ae1bb0c3a9b7be3a06f54a5b0f0a3de0fd3ab2f19a6a2a1a6bb4f4d2d0c58"
_SIBLING = "19b7d5f3a1e9c7b5d3f1a9e7c5b3d1f9a7e5c3b1d9f7a5e3c1b9d7f5a3e1c9b8"
_ORIGIN = "mien/3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
_CHECKPOINT = (
    f"{_ORIGIN}\n8\nPRX7q0w0mV0JtGm5d3rUq3Vw0b2bq0YxkRzv2eZkN0o=\n\n"
    f"— {_ORIGIN} 5kJ0WmE3l0o2c7T8c0Qp1u4Jr9mYc4mZQmXq1YkH1u5a8V3m2nXo0b7pQy6Jk2Lw9dR4tVb8cNf3hGs1aPxE0uZ7iTo=\n"
)
_JWS = "eyJhbGciOiJFZERTQSIsImtpZCI6IuKApiIsInR5cCI6Im1pZW4tcmVjZWlwdCtqd3MifQ.eyLigKYifQ.c2lnbmF0dXJl"
PROOF: Example = {
    "leaf": LEAF,
    "index": 3,
    "size": 8,
    "hashes": [
        "7a1f0c5e2b9d4836f1a0c3e5d7b9f2a4c6e8d0b1a3f5c7e9d2b4a6f8c0e1d3b5",
        "c4e2a0f8d6b4927150e3c1a9f7d5b3e1c9a7f5d3b1e9c7a5f3d1b9e7c5a3f1d0",
        _SIBLING,
    ],
    "checkpoint": _CHECKPOINT,
}
RECEIPT: Example = {
    "jws": _JWS,
    "leaf": LEAF,
    "salt": "q0w0mV0JtGm5d3rUq3Vw0b2bq0YxkRzv2eZkN0oPRX4",
    "promise": _JWS,
    "proof": PROOF,
}
"""The two signed parts are shortened. A receipt has the proof once its leaf is in the transparency log."""
CONSISTENCY: Example = {"from": 4, "size": 8, "hashes": [_SIBLING], "checkpoint": _CHECKPOINT}
_KEY: Example = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "use": "sig",
    "alg": "EdDSA",
    "iat": 1795000000,
    "mien_signs": "receipts",
}
JWKS: Example = {"keys": [_KEY]}
VERDICT: Example = {"valid": True, "reason": "signed by a key whose fingerprint you gave; unchanged since"}
