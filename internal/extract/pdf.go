package extract

import "context"

type pdfEngine struct{}

func newPDFEngine(Config) *pdfEngine { return &pdfEngine{} }
func (p *pdfEngine) close(context.Context) error { return nil }
func (e *Extractor) extractPDF(ctx context.Context, in Input, r *Result) error { return ErrUnsupported }
