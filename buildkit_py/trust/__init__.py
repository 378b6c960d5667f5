"""Signatures of images: made, found beside the image, checked, and demanded by a policy.

    sha256-HEX.sig        a manifest; each layer is a payload, its annotation the signature       cosign
    referrer of the image a manifest whose one layer is a sigstore bundle                         cosign 3
    referrer of the image a manifest whose one layer is a JWS envelope with certificates          Notary Project
    lookaside storage     files `signature-N` of OpenPGP, only read                               simple signing

Importing a policy imports no cryptography; that is done once a policy or a command asks for a signature.
"""
