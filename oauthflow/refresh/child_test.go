package refresh_test

const childEnv = "TEST_REFRESH_CHILD"

func child() {}
