export * from './index.js'
import * as ferromq from './index.js'
export default ferromq
