// Package doctor looks a whole installation over and says of each part whether it is well, what is wrong, and what to do.
package doctor
