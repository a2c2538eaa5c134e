package reconcile

// Happened reports whether a snapshot shows the effect of what was sent.
var Happened = happened
