'use strict'

// The native part for this platform: the file beside this package if it was built here, else the platform's package.
module.exports = require('../generated.js')
