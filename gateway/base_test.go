package gateway
import ("testing";"encoding/json")
func BenchmarkStdValid(b *testing.B) {
	body := []byte(sampleTask)
	for b.Loop() { json.Valid(body) }
}
func BenchmarkStdAny(b *testing.B) {
	body := []byte(sampleTask)
	b.ReportAllocs()
	for b.Loop() { var v any; json.Unmarshal(body, &v) }
}
func BenchmarkStdStruct(b *testing.B) {
	body := []byte(sampleTask)
	b.ReportAllocs()
	for b.Loop() { var v submission; json.Unmarshal(body, &v) }
}
