#error "tests are not for the image"
