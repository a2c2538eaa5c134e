package delivery

// Waiting is how many deliveries wait for the writer: tests hold it up until all of theirs do.
func (in *Inbox) Waiting() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.waiting)
}
