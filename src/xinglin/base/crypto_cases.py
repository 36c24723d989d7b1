"""Frozen cases that `crypto.self_test` tries at start-up: data, no code.

The first ten Ed25519 cases have the shapes of the ed25519-speccheck list (Chalkias, Garillot, Nikolaenko: "Taming the
many EdDSAs"), on which libraries disagree; five more are ours. They were made from known scalars and points of small
order, and stand with their verdicts in tests/golden/vectors/ed25519_accept.json too.
"""

from typing import Final

_of = bytes.fromhex

# name, key, message, signature, accepted
ED25519_CASES: Final = (
    (
        "small_a_small_r_s_zero",
        _of("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        _of("6596f917da23567812d63e69fe66419f606c1e44f672d67e9f5f446594783cda"),
        _of(
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"
            "0000000000000000000000000000000000000000000000000000000000000000"
        ),
        False,
    ),
    (
        "small_a_mixed_r",
        _of("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        _of("23b4ee44698d0f17030a772defd3537913bea1bb6e074d05e649caed9049b314"),
        _of(
            "929e3d1c46c193f9baf0cd8158d320147321955fdf2d227d854c07918f737c6c"
            "2e77a7db3b2f65a47efd3cf9bbe5f05486e88756c8cc06c7691f6d5679727502"
        ),
        False,
    ),
    (
        "mixed_a_small_r",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("fc3879075e0f32125b44c780399015aa1cbfd646cfa876f7ed3c3fe266db6f89"),
        _of(
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"
            "c45283ed0ae6b922bcd6f96fed3fc0b2c8ad13b2775335a0bde34f8984cd7e0c"
        ),
        False,
    ),
    (
        "mixed_a_mixed_r_cofactorless_holds",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("e7f919cf4eb683fb777346470f568d610c2170e965e1c6fe89497c5190ca7b11"),
        _of(
            "929e3d1c46c193f9baf0cd8158d320147321955fdf2d227d854c07918f737c6c"
            "498244f9eff910bbe9933c6f28a2911dde7c10d787daea96dd1c23fb8a0ce402"
        ),
        True,
    ),
    (
        "mixed_a_mixed_r_only_cofactored_holds",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("e77ff379d744b987bc56b335c3ecdacabfd3d4f442aba4dd1acdb0f711aac065"),
        _of(
            "929e3d1c46c193f9baf0cd8158d320147321955fdf2d227d854c07918f737c6c"
            "e9dc96101c60fa4eb80dd306674d4f762827cfc3498ec0a3f571034459a37a03"
        ),
        False,
    ),
    (
        "mixed_a_mixed_r_only_cofactored_unreduced_holds",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("14389f13695e44a18e3cc3bd32e51e461fb33c0bf3e588effa0d646eb29af02b"),
        _of(
            "929e3d1c46c193f9baf0cd8158d320147321955fdf2d227d854c07918f737c6c"
            "7445d13b4857b7b5228ff3e9c4dcefc3db06d9d3cbec05246bdbdb367172cd0e"
        ),
        False,
    ),
    (
        "s_plus_the_order",
        _of("88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488"),
        _of("ecfb231d6e9de5d56891579bc4340772994637bec1c8688b7a85c78034eb0e88"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a"
            "94b9fa667f2577555a36bf280c82fa06b3331a11fff2032aecfa494ed14aab16"
        ),
        False,
    ),
    (
        "s_plus_fourteen_times_the_order",
        _of("88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488"),
        _of("c96c95ef9744f598729418912f2109dee9efcf160eb2f46126424dec9d5af8af"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a"
            "e574b87f9901a540a6b89dbc02d890ba2f24b7b57b345a812c6f8d6dc57cd5e1"
        ),
        False,
    ),
    (
        "small_r_not_canonical_hashed_canonical",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("cbb79fbbc636c66622a378d859c309909bdfd20dfd6d451cb0aabae0ba5b050e"),
        _of(
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
            "9bd7636ac8948aeeba2a7bcb849e9af84797ef9c6519cca3deee3e3a01baf806"
        ),
        False,
    ),
    (
        "small_r_not_canonical_hashed_as_given",
        _of("99555efe5dbf5b50b6fb4d8c38ee05c4ea8a97011c08e11366e8c8c00e8ce5d5"),
        _of("b272b1c58bb2687af209614dd6aaf8d631dfc0808c9723ec0539e08b0b66e960"),
        _of(
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
            "f0464c9b70b2453930aee2ce472a85f0947b419fe17f2e310400d8daaf68c607"
        ),
        False,
    ),
    (
        "small_a_not_canonical",
        _of("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        _of("6161616161616161616161616161616161616161616161616161616161616161"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a"
            "2e77a7db3b2f65a47efd3cf9bbe5f05486e88756c8cc06c7691f6d5679727502"
        ),
        False,
    ),
    (
        "identity_a",
        _of("0100000000000000000000000000000000000000000000000000000000000000"),
        _of("6262626262626262626262626262626262626262626262626262626262626262"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a"
            "2e77a7db3b2f65a47efd3cf9bbe5f05486e88756c8cc06c7691f6d5679727502"
        ),
        False,
    ),
    (
        "prime_order_a_mixed_r_only_cofactored_holds",
        _of("88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488"),
        _of("f780162b5eef2516b7f96be5946e1494f45665604caa7f9f74a1b6489d597f39"),
        _of(
            "afab3bbe6d8060f11a1ec1cb0f4fbfb3afbc9ae570b4810f785e3bdd9d57a2f5"
            "6eaff67a57a2e45e0cfe9bc2f0f4af61361ea78d30a566cea78036325aeff10f"
        ),
        False,
    ),
    (
        "plain",
        _of("88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488"),
        _of("78696e676c696e"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d0a"
            "8496e3a96b32b5b4ae4722842c00518d49f97c2dd18389ccdb9392b065f42f01"
        ),
        True,
    ),
    (
        "plain_other_sign_of_r",
        _of("88aa55e6afeed8960a3191de78600347db8acd0a3795412f275f049b86260488"),
        _of("78696e676c696e"),
        _of(
            "3e54c441927f9f0ee5e13e34f0b0404c5043651a8f4b7ef087a1c42262a85d8a"
            "8496e3a96b32b5b4ae4722842c00518d49f97c2dd18389ccdb9392b065f42f01"
        ),
        False,
    ),
)

# FIPS 180-4 and GB/T 32905 examples
SHA256_ABC: Final = _of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
SM3_ABC: Final = _of("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0")

# tagged(SHA256, "xinglin/self-test/1", b"", b"abc")
TAGGED_SHA256: Final = _of("051f114c96b8f059765eddbec8988fa3831ef74a5e96b49e310d3be769bd3aca")
