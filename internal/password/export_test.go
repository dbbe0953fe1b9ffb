package password

// Occupy takes two places of h until release is called.
func Occupy(h *Hasher) (release func()) {
	for range 2 {
		h.slots <- struct{}{}
	}
	return func() {
		for range 2 {
			<-h.slots
		}
	}
}
