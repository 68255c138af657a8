{
	// An ID ties the app to Encore Cloud; without one it runs locally.
	"id": ""
}
