// Package secret owns the type in which passwords, keys and tokens travel through the program: a string that
// no formatting, encoding or logging shows.
//
// It must not import anything of this module. Start reading at Text.
package secret
