// Package archive is the file that a backup is: the entries of a store as they
// lay there, still sealed, and the files of the audit log.
//
// It owns the format and its proof. It refuses to know what an entry means, and
// it holds no key of any kind: the sealing key is not in an archive, so whoever
// finds one can read mappings in it, but can neither forge one nor seal a value.
//
// # Format
//
// A stream of frames, so that neither writing nor reading needs it in memory:
//
//	"kdgate archive 1\n"
//	frame*            1 type · 4 length of payload · payload
//
//	H  header         JSON, first and once
//	E  entry          2 length of key · key · 8 version · 8 end (µs) · sealed value
//	C  change         an E that replaces an earlier one of the same key
//	R  removal        key of an earlier E that is gone
//	F  file           name of a file, whose content follows
//	D  data           the next piece of that file
//	T  trailer        JSON with the counts, last and once
//	                  then 32 bytes SHA-256 and 32 bytes HMAC-SHA-256 of all before, and the end
//
// Numbers are big-endian. C and R are what changed while the backup ran: a
// reader applies the frames in their order and has the store as it was at one
// moment, the last one. The two sums stand after the trailer's frame; the
// SHA-256 tells a damaged file from one that was made under another key. A file
// that is cut short, goes on after its sums, or has a byte changed, moved or put
// in does not verify, and Verify reads all of it before anything is believed.
//
// The key of the sum is for archives only; app derives it from the sealing key.
package archive
