package inject

type quota struct{ freezer }
type hog struct{ freezer }
