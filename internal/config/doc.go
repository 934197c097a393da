// Package config turns one YAML file and the environment into one plain struct.
//
// It owns the names of the keys, their defaults and their checks, and is the
// only importer of viper. It is strict: an unknown key is a mistake (T124), and
// all mistakes are reported at once, each with the line that fixes it. Secrets
// come from files or the environment only. Validation changes nothing: what a
// person wrote is what the program gets.
package config
