// Command kdgate-demo is the trial: both simulators, seeded people and the real
// gateway in one process, on loopback only. Nothing is stubbed but the two
// vendors. It never ships in the production image.
package main
