// Package token makes and checks signed statements about a person: short-lived
// assertions that tell an upstream who is there, as JSON Web Tokens (RFC 7519)
// signed with Ed25519 (RFC 8037). It is the only importer of golang-jwt.
//
// Signing keys are not stored anywhere. Time is cut into epochs of
// [Config].Rotate, and the key of an epoch is derived (HKDF, RFC 5869) from the
// secret, the issuer and the epoch's number, so that every replica has the same
// keys and none is ever in a store or a file:
//
//	epoch      n-1         n          n+1        n+2
//	         previous   current      next
//	signs       –          ✓          –          –
//	published   ✓          ✓          ✓          –
//	accepted    ✓          ✓          ✓          –
//
// The next key is published for a whole epoch, at least 24 hours, before it
// signs. To give up all keys at once, change the secret.
//
// There is one verifier for the whole project, and it is strict: a closed
// header with alg, typ and kid only, so that jku, x5u, jwk, x5c, crit and b64 are
// refused; EdDSA pinned to our keys; a kid that is looked up among them and
// nowhere else; one audience; every claim of T74 required; no member twice; no
// outbound call. Whether the signature holds is answered before whether the
// claims do, so an expired and badly signed token is badly signed (T76).
//
// It refuses to keep tokens: whoever wants to use one twice keeps it, for at
// most half its life. It refuses to revoke them: they are short-lived instead.
package token
